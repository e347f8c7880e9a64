import { describe, expect, it } from 'vitest';
import { changingVerbs, type Fault } from '../../fakes/simulated-engine.ts';
import { actor, emptyScene, keys, names } from '../../fakes/transaction-scene.ts';
import { World } from '../../fakes/transaction-world.ts';
import {
  upgrade,
  coldUpgrade,
  badUpgrade,
  badColdUpgrade,
  goodScenes,
  badScenes,
  onBothEngines,
  effects,
  at,
  callsOf,
  expectOneWantedAgent,
  expectOldAgent,
  expectReconciled,
} from './transaction-scenes.ts';

/** The main scenes, each swept completely: a fault of every kind at every single call. */

describe('killed at any call', () => {
  it.each(onBothEngines([...goodScenes, ...badScenes]))(
    '%s is finished by the next run, with or without a power cut',
    async (_, scene) => {
      const calls = await callsOf(scene);
      expect(calls).toBeGreaterThan(10);
      for (let number = 1; number <= calls; number += 1) {
        for (const effect of effects) {
          for (const reboots of [false, true]) {
            const world = new World(scene);
            await world.run(at(number, { kind: 'die', effect }));
            if (reboots) world.reboot();
            expectReconciled(
              world,
              await world.run(),
              `killed at ${number}, effect ${effect}, reboot ${String(reboots)}`,
            );
          }
        }
      }
    },
  );

  it.each(onBothEngines([...goodScenes, ...badScenes]))(
    '%s can be killed twice and still converges',
    async (_, scene) => {
      const calls = await callsOf(scene);
      for (let first = 1; first <= calls; first += 1) {
        for (let second = 1; second <= calls; second += 3) {
          const world = new World(scene);
          await world.run(at(first, { kind: 'die', effect: 'done' }));
          await world.run(at(second, { kind: 'die', effect: 'done' }));
          if ((first + second) % 2 === 0) world.reboot();
          expectReconciled(world, await world.run(), `killed at ${first}, then at ${second}`);
        }
      }
    },
  );

  const reconcilable = [...goodScenes, ...badScenes].filter(([title]) => !title.includes('crash-looping'));
  it.each(onBothEngines(reconcilable))(
    '%s is reconciled by an agent that starts after a power cut: one agent, nothing else',
    async (_, scene) => {
      const calls = await callsOf(scene);
      for (let number = 1; number <= calls; number += 1) {
        const world = new World(scene);
        await world.run(at(number, { kind: 'die', effect: 'done' }));
        world.reboot();
        const { result } = await world.run({ goal: 'reconcile' });
        const isSomebodyThere = world.managed().length > 0;
        if (scene.watch === 'fails') expect(result?.agentRuns, `killed at ${number}`).toBe(true);
        else expect(result?.reached ?? false, `killed at ${number}`).toBe(isSomebodyThere);
        expect(world.managed().length, `killed at ${number}`).toBeLessThanOrEqual(1);
        expect(world.violations, `killed at ${number}`).toEqual([]);
      }
    },
  );
});

describe('a single failure at any call', () => {
  const faults: readonly Fault[] = (['timeout', 500] as const).flatMap((kind) =>
    effects.map((effect) => ({ kind, effect })),
  );
  it.each(onBothEngines(goodScenes))('a single failure does not keep %s from its end', async (_, scene) => {
    const calls = await callsOf(scene);
    for (let number = 1; number <= calls; number += 1) {
      for (const fault of faults) {
        const world = new World(scene);
        const run = await world.run(at(number, fault));
        expectOneWantedAgent(world, run, `${fault.kind} at ${number}, effect ${fault.effect}`);
      }
    }
  });

  it.each(onBothEngines(badScenes))('a single failure does not keep %s from its end', async (_, scene) => {
    const calls = await callsOf(scene);
    for (let number = 1; number <= calls; number += 1) {
      for (const fault of faults) {
        const world = new World(scene);
        const run = await world.run(at(number, fault));
        expectOldAgent(world, run, `${fault.kind} at ${number}, effect ${fault.effect}`);
      }
    }
  });
});

describe('an engine that fails for ever', () => {
  const cases = changingVerbs.flatMap((verb) =>
    (['timeout', 500, 400] as const).flatMap((kind) =>
      [upgrade, badUpgrade, coldUpgrade, badColdUpgrade].map((scene) => ({ verb, kind, scene })),
    ),
  );
  it.each(cases)(
    'an engine that fails for ever at $verb ($kind) leaves an agent that works, and the result says so',
    async ({ verb, kind, scene }) => {
      const world = new World(scene);
      const { result, calls, steps } = await world.run({
        faultOf: (call) => (call.verb === verb ? { kind, effect: 'none' } : undefined),
      });
      expect(calls.length).toBeLessThanOrEqual(120);
      expect(steps.length).toBeLessThan(30);
      const runs = world.acting().filter(({ image }) => image.health === 'good');
      // Stopped, and nothing can be started any more: the only case in which nobody can help.
      expect(runs.length).toBe(verb === 'start' && !scene.canStandBy ? 0 : 1);
      expect(result?.agentRuns).toBe(runs.some(({ name }) => name === names.agent));
      expect(result?.reached).toBe(result?.error === undefined);
      expect(world.violations).toEqual([]);
      expectReconciled(world, await world.run(), 'once the engine is well');
    },
  );

  it('an engine that fails for ever at inspecting is reported as unavailable', async () => {
    const world = new World(upgrade);
    const { thrown } = await world.run({
      faultOf: ({ verb }) => (verb === 'inspect' ? { kind: 500, effect: 'none' } : undefined),
    });
    expect(thrown).toMatchObject({ code: 'engine-unavailable' });
  });
});

describe('SIGTERM at any call', () => {
  it.each(onBothEngines([...goodScenes, ...badScenes]))(
    'SIGTERM at any call leaves an agent after %s',
    async (_, scene) => {
      const calls = await callsOf(scene);
      const hadAgent = new World(scene).acting().some(({ image }) => image.health === 'good');
      for (let number = 1; number <= calls; number += 1) {
        const world = new World(scene);
        const { result, steps } = await world.run({ interruptAt: number });
        const when = `at ${number}`;
        expect(result, when).toBeDefined();
        expect(steps.length, when).toBeLessThan(20);
        if (hadAgent) {
          expect(
            world.acting().filter(({ image }) => image.health === 'good'),
            when,
          ).not.toEqual([]);
        }
        expectReconciled(world, await world.run(), when);
      }
    },
  );

  it('leaves the new agent active when the lock is lost after its promotion: no rollback', async () => {
    const calls = await callsOf(upgrade);
    const ends = new Set<string>();
    for (let number = 1; number <= calls; number += 1) {
      const world = new World(upgrade);
      const { result, steps } = await world.run({ lockLostAt: number });
      expect(steps, `at ${number}`).not.toContain('demote');
      expect(world.acting(), `at ${number}`).toHaveLength(1);
      ends.add(`${result?.touchedAgent === true ? 'replaced' : 'untouched'}, ${String(result?.isIncumbent)}`);
      expectReconciled(world, await world.run(), `at ${number}`);
    }
    expect([...ends].sort()).toEqual(['replaced, false', 'untouched, true']);
  });

  it('keeps a next agent that is the only one of ours, beside an unmanaged container that has keys', async () => {
    const world = new World({ ...emptyScene, next: actor('wanted', 'running') });
    const image = { reference: 'nginx', id: 'sha256:nginx', canStandBy: false, health: 'good' } as const;
    world.host.add({ name: names.agent, image, environment: keys, body: 'started' });
    await world.run({ interruptAt: 1 });
    expect(world.host.named(names.next)).toBeDefined();
    expect(world.violations).toEqual([]);
  });

  it('SIGTERM before the agent is touched leaves nothing behind', async () => {
    for (let number = 1; number <= 8; number += 1) {
      const world = new World(upgrade);
      const { result } = await world.run({ interruptAt: number });
      expect(result?.touchedAgent).toBe(false);
      expect(world.managed()).toEqual([world.agent()]);
    }
  });
});
