import { expect } from 'vitest';
import type { Fault } from '../../fakes/simulated-engine.ts';
import { actor, emptyScene, names, type SceneDescription } from '../../fakes/transaction-scene.ts';
import { World, type Run, type RunOptions } from '../../fakes/transaction-world.ts';

/* The scenes that the tests of the transaction sweep, with a fault at every single call, and what must hold in the end. */

export const upgrade: SceneDescription = { ...emptyScene, agent: actor('upstream', 'running') };
export const coldUpgrade: SceneDescription = { ...upgrade, canStandBy: false };
export const takeOverOfLegacy: SceneDescription = { ...emptyScene, legacy: actor('upstream', 'running') };
export const badUpgrade: SceneDescription = { ...upgrade, health: 'exits-soon' };
export const badColdUpgrade: SceneDescription = { ...coldUpgrade, health: 'exits-soon' };

export const goodScenes: readonly (readonly [string, SceneDescription])[] = [
  ['a registration', emptyScene],
  ['a registration of an image that cannot be on standby', { ...emptyScene, canStandBy: false }],
  ['an upgrade', upgrade],
  ['an upgrade from an agent of ours', { ...emptyScene, agent: actor('managed', 'running') }],
  ['an upgrade to an image that cannot be on standby', coldUpgrade],
  ['an upgrade to an image that proves its readiness', { ...upgrade, proof: 'ready' }],
  ['an upgrade of a stopped agent', { ...emptyScene, agent: actor('upstream', 'exited') }],
  ['an upgrade of a crash-looping agent', { ...emptyScene, agent: actor('managed', 'crash-looping') }],
  ['an upgrade of an agent with a legacy name', takeOverOfLegacy],
];
export const badScenes: readonly (readonly [string, SceneDescription])[] = [
  ['a rollback', badUpgrade],
  ['a rollback from an image that cannot be on standby', badColdUpgrade],
  ['a rollback from an image that cannot prove its readiness', { ...upgrade, proof: 'refused' }],
  ['a rollback from an image whose bootstrap fails', { ...upgrade, proof: 'ready', watch: 'fails' }],
  ['a rollback to a legacy agent', { ...takeOverOfLegacy, health: 'exits-soon' }],
];
export const onBothEngines = (
  scenes: readonly (readonly [string, SceneDescription])[],
): readonly (readonly [string, SceneDescription])[] =>
  scenes.flatMap(([title, scene]) => [
    [title, scene] as const,
    [`${title}, engine 1.10.3`, { ...scene, oldEngine: true }] as const,
  ]);

export const effects = ['none', 'done'] as const;

export function at(number: number, fault: Fault): RunOptions {
  return { faultOf: (call) => (call.number === number ? fault : undefined) };
}

export async function callsOf(scene: SceneDescription): Promise<number> {
  return (await new World(scene).run()).calls.length;
}

export function expectOneWantedAgent(world: World, run: Run, when: string): void {
  expect(run.result?.error, when).toBeUndefined();
  expect(run.result?.reached, when).toBe(true);
  expect(
    world.managed().map(({ name, policy }) => ({ name, policy })),
    when,
  ).toEqual([{ name: names.agent, policy: 'always' }]);
  const agent = world.agent();
  expect(world.isWanted(agent) && agent !== undefined && world.host.stateOf(agent), when).toBe('running');
  expect(world.violations, when).toEqual([]);
}

export function expectOldAgent(world: World, run: Run, when: string): void {
  expect(run.result?.reached, when).toBe(false);
  expect(run.result?.error, when).toBeInstanceOf(Error);
  expect(run.result?.agentRuns, when).toBe(true);
  expect(world.picture(), when).toMatch(
    new RegExp(`^${names.agent}=rancher/agent:v1\\.2\\.11/running/always$`),
  );
  expect(world.violations, when).toEqual([]);
}

export function expectReconciled(world: World, run: Run, when: string): void {
  if (world.canServe) expectOneWantedAgent(world, run, when);
  else expectOldAgent(world, run, when);
}
