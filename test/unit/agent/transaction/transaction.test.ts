import { describe, expect, it } from 'vitest';
import type { Health } from '../../fakes/simulated-host.ts';
import { actor, emptyScene, names, type SceneDescription } from '../../fakes/transaction-scene.ts';
import { World } from '../../fakes/transaction-world.ts';
import {
  upgrade,
  coldUpgrade,
  badUpgrade,
  goodScenes,
  badScenes,
  onBothEngines,
  effects,
  at,
  callsOf,
  expectOneWantedAgent,
  expectOldAgent,
} from './transaction-scenes.ts';

describe('without a fault', () => {
  it.each(onBothEngines(goodScenes))('%s ends with one agent and nothing else', async (_, scene) => {
    const world = new World(scene);
    expectOneWantedAgent(world, await world.run(), 'in the end');
  });

  it('an upgrade takes these steps: the old agent goes last', async () => {
    const { steps } = await new World(upgrade).run();
    expect(steps).toEqual('create-next start standby stop park promote verify discard'.split(' '));
  });

  it('an upgrade to an image that cannot be on standby starts it only when the old one has stopped', async () => {
    const { steps } = await new World(coldUpgrade).run();
    expect(steps).toEqual('create-next stop park promote start verify discard'.split(' '));
  });

  it('a rollback brings the old agent back before it removes the new one', async () => {
    const { steps } = await new World(badUpgrade).run();
    expect(steps.join(' ')).toMatch(/verify demote promote start standby discard$/);
  });

  it('an upgrade does nothing when the wanted agent is active already', async () => {
    const world = new World({ ...emptyScene, agent: actor('wanted', 'running') });
    const run = await world.run();
    expect(run.steps).toEqual([]);
    expectOneWantedAgent(world, run, 'in the end');
  });

  it('an upgrade asks the engine at most 45 times, and 60 times if it is rolled back', async () => {
    const upgrades = await Promise.all(goodScenes.map(async ([, scene]) => callsOf(scene)));
    const rollBacks = await Promise.all(badScenes.map(async ([, scene]) => callsOf(scene)));
    expect(Math.max(...upgrades)).toBeLessThanOrEqual(45);
    expect(Math.max(...rollBacks)).toBeLessThanOrEqual(60);
  });
});

describe('a new image that is bad', () => {
  const healths: readonly Health[] = ['start-fails', 'exits-at-once', 'exits-soon', 'fails-when-active'];
  const cases = healths.flatMap((health) =>
    [true, false].flatMap((canStandBy) =>
      [true, false].map((oldEngine) => ({ health, canStandBy, oldEngine })),
    ),
  );

  it.each(cases)('a new image that fails leaves the old agent running: %o', async (parts) => {
    const world = new World({ ...upgrade, ...parts });
    expectOldAgent(world, await world.run(), 'in the end');
  });

  it('and can be on standby costs the old agent nothing if it does not come up', async () => {
    const world = new World({ ...upgrade, health: 'exits-at-once' });
    const before = world.agent()?.startedAt;
    const { result } = await world.run();
    expect(result?.touchedAgent).toBe(false);
    expect(world.agent()?.startedAt).toBe(before);
  });

  it('a new agent that fails after its promotion is rolled back, however long it was on standby', async () => {
    const world = new World({ ...upgrade, health: 'fails-when-active' });
    expectOldAgent(world, await world.run({ limits: { STANDBY: 30_000 } }), 'in the end');
  });

  it.each([true, false])(
    'a failed agent that cannot be removed is named beside the agent that is back: 1.10.3 %s',
    async (oldEngine) => {
      const world = new World({ ...badUpgrade, oldEngine });
      world.host.breakRemovalOf(world.wanted);
      const { result } = await world.run();
      expect(world.acting().map(({ name, image }) => [name, image.reference])).toEqual([
        [names.agent, 'rancher/agent:v1.2.11'],
      ]);
      expect(result?.unremovable.map(({ name }) => name)).toEqual([names.next]);
      expect(result?.agentRuns).toBe(true);
    },
  );
});

describe('an image that proves its readiness', () => {
  const proven: SceneDescription = { ...upgrade, proof: 'ready' };

  it('a next agent is promoted after its proof, and its bootstrap is watched before the parked agent is removed', async () => {
    const world = new World(proven);
    const run = await world.run();
    expect(run.steps).toEqual('create-next start ready stop park promote verify watch discard'.split(' '));
    expectOneWantedAgent(world, run, 'in the end');
  });

  it.each(['refused', 'deferred'] as const)(
    'a next agent whose proof is %s costs the old agent nothing',
    async (proof) => {
      const world = new World({ ...proven, proof });
      const { id, startedAt } = world.agent() ?? {};
      const { result } = await world.run();
      expect(result).toMatchObject({ reached: false, touchedAgent: false, isIncumbent: true });
      expect(world.managed().map((agent) => [agent.id, agent.startedAt])).toEqual([[id, startedAt]]);
    },
  );

  it('a next agent stays on standby while it is held: nothing is removed, and the next worker goes on with it', async () => {
    const world = new World({ ...proven, proof: 'held' });
    const { result } = await world.run();
    expect(result).toMatchObject({ reached: false, touchedAgent: false });
    const before = world.host.named(names.next)?.id;
    const { calls } = await world.run();
    expect(calls.filter(({ verb }) => verb === 'create' || verb === 'remove')).toEqual([]);
    expect(world.host.named(names.next)?.id).toBe(before);
  });

  it('a new agent whose bootstrap fails is rolled back, and the old agent gets its restart policy back', async () => {
    for (const policy of ['always', 'unless-stopped', 'no'] as const) {
      const world = new World({ ...proven, agent: actor('upstream', 'running', { policy }), watch: 'fails' });
      const { result } = await world.run();
      expect(result, policy).toMatchObject({ reached: false, agentRuns: true, isIncumbent: true });
      expect(world.managed().map((agent) => [agent.image.reference, agent.policy])).toEqual([
        ['rancher/agent:v1.2.11', policy],
      ]);
    }
  });

  it('a rescued host keeps the parked agent until the new one serves', async () => {
    const world = new World({ ...proven, agent: actor('upstream', 'exited'), watch: 'keep-parked' });
    const { result } = await world.run();
    expect(result?.reached).toBe(true);
    expect(world.host.named(names.previous[0] ?? '')?.image.reference).toBe('rancher/agent:v1.2.11');
  });
});

describe('an old agent with a restart policy of its own', () => {
  const policies = ['no', 'unless-stopped', 'on-failure'] as const;
  const healths: readonly Health[] = ['start-fails', 'exits-at-once', 'exits-soon', 'fails-when-active'];
  const cases = policies.flatMap((policy) =>
    healths.flatMap((health) =>
      [true, false].flatMap((canStandBy) =>
        [true, false].map((oldEngine) => ({ policy, health, canStandBy, oldEngine })),
      ),
    ),
  );

  it.each(cases)(
    'an old agent comes back with its restart policy from an image that fails: %o',
    async ({ policy, ...parts }) => {
      const world = new World({ ...upgrade, ...parts, agent: actor('upstream', 'running', { policy }) });
      const { result } = await world.run();
      expect(result).toMatchObject({ reached: false, agentRuns: true });
      expect(world.acting().map(({ name, image, policy: now }) => [name, image.reference, now])).toEqual([
        [names.agent, 'rancher/agent:v1.2.11', policy],
      ]);
      expect(world.host.containers()).toHaveLength(1);
    },
  );
});

describe('a next agent of an earlier upgrade that is dead and keeps its name (1.10.3)', () => {
  const blocked: SceneDescription = { ...upgrade, oldEngine: true, next: actor('managed', 'dead') };

  it('a dead next agent does not block upgrades: the new one is created under the spare name, and the dead one is named', async () => {
    const world = new World(blocked);
    const { result } = await world.run();
    expect(result?.reached).toBe(true);
    expect(result?.unremovable.map(({ name }) => name)).toEqual([names.next]);
    expect(world.acting()).toEqual([world.agent()]);
    expect(world.isWanted(world.agent())).toBe(true);
    expect(world.host.named(names.nexts[1] ?? '')).toBeUndefined();
  });

  it('leaves the old agent active where all names are kept', async () => {
    const world = new World({ ...blocked, health: 'exits-at-once' });
    world.host.breakRemovalOf(world.wanted);
    await world.run();
    await world.run();
    const { result, calls } = await world.run();
    expect(result?.error?.message).toMatch(/cannot be renamed/);
    expect(calls.some(({ verb }) => verb === 'create' || verb === 'stop')).toBe(false);
    expect(world.acting().map(({ image }) => image.reference)).toEqual(['rancher/agent:v1.2.11']);
  });

  it('an upgrade beside a dead next agent may be killed at any call: the one after it succeeds', async () => {
    const calls = await callsOf(blocked);
    for (let number = 1; number <= calls; number += 1) {
      for (const effect of effects) {
        const world = new World(blocked);
        await world.run(at(number, { kind: 'die', effect }));
        const { result } = await world.run();
        const when = `killed at call ${number}, ${effect}`;
        expect(result?.reached, when).toBe(true);
        expect(world.acting(), when).toEqual([world.agent()]);
        expect(world.violations, when).toEqual([]);
      }
    }
  });
});

describe('an old agent that cannot be removed', () => {
  it.each(['dies', 'hangs'] as const)(
    'an old agent that cannot be removed is named and does not fail the upgrade (%s)',
    async (removal) => {
      const world = new World({ ...emptyScene, agent: actor('upstream', 'running', { removal }) });
      const { result } = await world.run();
      expect(result?.reached).toBe(true);
      expect(result?.unremovable.map(({ name }) => name)).toEqual([names.previous[0]]);
      expect(world.acting()).toEqual([world.agent()]);
    },
  );

  it('an unremovable agent does not come back at a reboot, because its restart policy is off', async () => {
    const world = new World({ ...emptyScene, agent: actor('upstream', 'running', { removal: 'hangs' }) });
    await world.run();
    world.reboot();
    expect(world.acting()).toEqual([world.agent()]);
  });

  it('a sixth dead container is refused before the agent is touched', async () => {
    const isDead = actor('upstream', 'dead');
    const world = new World({ ...upgrade, previous: names.previous.map(() => isDead) });
    const { result, calls } = await world.run();
    expect(result?.error?.message).toMatch(/cannot park the old agent: pasturestack-node-agent-previous, /);
    expect(result?.touchedAgent).toBe(false);
    expect(calls.some(({ verb }) => verb === 'create' || verb === 'stop')).toBe(false);
  });

  it('dead containers that can be removed again make room in the same run', async () => {
    const isDead = actor('upstream', 'dead', { removal: 'works' });
    const world = new World({ ...upgrade, previous: [isDead, isDead, isDead] });
    expectOneWantedAgent(world, await world.run(), 'in the end');
  });

  it('an agent that cannot be stopped stays the agent, and the upgrade fails', async () => {
    const world = new World({ ...emptyScene, agent: actor('upstream', 'running', { stoppable: false }) });
    expectOldAgent(world, await world.run(), 'in the end');
  });
});
