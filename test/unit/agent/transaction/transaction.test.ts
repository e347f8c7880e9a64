import { describe, expect, it } from 'vitest';
import { changingVerbs, type Fault, type Health } from '../../fakes/simulated-engine.ts';
import {
  actor,
  emptyScene,
  keys,
  names,
  World,
  type Run,
  type RunOptions,
  type SceneDescription,
} from '../../fakes/transaction-world.ts';

/** The main scenes, each swept completely: a fault of every kind at every single call. */

const upgrade: SceneDescription = { ...emptyScene, agent: actor('upstream', 'running') };
const coldUpgrade: SceneDescription = { ...upgrade, canStandBy: false };
const takeOverOfLegacy: SceneDescription = { ...emptyScene, legacy: actor('upstream', 'running') };
const badUpgrade: SceneDescription = { ...upgrade, health: 'exits-soon' };
const badColdUpgrade: SceneDescription = { ...coldUpgrade, health: 'exits-soon' };

const goodScenes: readonly (readonly [string, SceneDescription])[] = [
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
const badScenes: readonly (readonly [string, SceneDescription])[] = [
  ['a rollback', badUpgrade],
  ['a rollback from an image that cannot be on standby', badColdUpgrade],
  ['a rollback from an image that cannot prove its readiness', { ...upgrade, proof: 'refused' }],
  ['a rollback from an image whose bootstrap fails', { ...upgrade, proof: 'ready', watch: 'fails' }],
  ['a rollback to a legacy agent', { ...takeOverOfLegacy, health: 'exits-soon' }],
];
const onBothEngines = (
  scenes: readonly (readonly [string, SceneDescription])[],
): readonly (readonly [string, SceneDescription])[] =>
  scenes.flatMap(([title, scene]) => [
    [title, scene] as const,
    [`${title}, engine 1.10.3`, { ...scene, oldEngine: true }] as const,
  ]);

const effects = ['none', 'done'] as const;

function at(number: number, fault: Fault): RunOptions {
  return { faultOf: (call) => (call.number === number ? fault : undefined) };
}

async function callsOf(scene: SceneDescription): Promise<number> {
  return (await new World(scene).run()).calls.length;
}

function expectOneWantedAgent(world: World, run: Run, when: string): void {
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

function expectOldAgent(world: World, run: Run, when: string): void {
  expect(run.result?.reached, when).toBe(false);
  expect(run.result?.error, when).toBeInstanceOf(Error);
  expect(run.result?.agentRuns, when).toBe(true);
  expect(world.picture(), when).toMatch(
    new RegExp(`^${names.agent}=rancher/agent:v1\\.2\\.11/running/always$`),
  );
  expect(world.violations, when).toEqual([]);
}

function expectReconciled(world: World, run: Run, when: string): void {
  if (world.canServe) expectOneWantedAgent(world, run, when);
  else expectOldAgent(world, run, when);
}

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
