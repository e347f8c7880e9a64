import { describe, expect, it } from 'vitest';
import { performStep, type ApplyContext } from '../../../../src/agent/transaction/apply.ts';
import { findKeyHolder, observeRoles, type Observed } from '../../../../src/agent/transaction/observe.ts';
import type { Step } from '../../../../src/agent/transaction/steps.ts';
import { labels } from '../../../../src/agent/identity/roles.ts';
import { requireOwnNames } from '../../../../src/agent/transaction/unmanaged.ts';
import { runTransaction, type TransactionResult } from '../../../../src/agent/transaction/transaction.ts';
import { buildWorkerSpec, describeCaller, readOwnership } from '../../../../src/agent/worker/request.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { changingVerbs, SimulatedEngine, type Call } from '../../fakes/simulated-engine.ts';
import { actor, emptyScene, keys, names, type SceneDescription } from '../../fakes/transaction-scene.ts';
import { stepContext, World } from '../../fakes/transaction-world.ts';

interface Host {
  readonly world: World;
  readonly calls: readonly Call[];
  readonly replace: (options: { adopt?: boolean; own?: readonly string[] }) => Promise<TransactionResult>;
}

function hostWith(scene: Partial<SceneDescription>): Host {
  const world = new World({ ...emptyScene, ...scene });
  const calls: Call[] = [];
  const engine = new SimulatedEngine(world.host, { afterCall: (call) => calls.push(call) });
  return {
    world,
    calls,
    replace: async (options) =>
      runTransaction({
        ...options,
        engine,
        names,
        limits: defaultLimits,
        clock: world.host.clock,
        log: silentLog,
        goal: world.goal('replace'),
        nextSpec: { ...nextSpec, image: world.wanted.reference },
        interrupted: new AbortController().signal,
      }),
  };
}

const nextSpec = {
  ...buildWorkerSpec({ task: 'reconcile', workerImage: '', environment: {} }),
  environment: keys,
  labels: { [labels.role]: 'agent', [labels.spec]: 'digest-of-the-wanted-agent' },
  restart: 'always',
  autoRemove: false,
} as const;

function changesOf(calls: readonly Call[], id: string | undefined): readonly Call[] {
  return calls.filter((call) => call.id === id && changingVerbs.some((verb) => verb === call.verb));
}

const words = (force: boolean) => ({ force, upgradeNames: ['rancher-agent-upgrade'] });

describe("an unmanaged container with the agent's name", () => {
  it('an unmanaged container under the agent’s name is not touched, and nothing is created beside it', async () => {
    const { world, calls, replace } = hostWith({ agent: actor('unmanaged', 'running') });
    const unmanaged = world.agent();
    const result = await replace({});
    expect(result).toMatchObject({ reached: false, touchedAgent: false });
    expect(result.error?.message).toMatch(/nginx:latest\) has one of our names but is not managed/);
    expect(changesOf(calls, unmanaged?.id)).toEqual([]);
    expect(calls.some(({ verb }) => verb === 'create')).toBe(false);
  });

  it('--force removes an unmanaged container last, when the new agent has shown that it runs', async () => {
    const { world, calls, replace } = hostWith({ agent: actor('unmanaged', 'running') });
    const unmanaged = world.agent();
    expect(await replace({ adopt: true })).toMatchObject({ reached: true, agentRuns: true });
    expect(world.isWanted(world.agent())).toBe(true);
    expect(world.host.containers()).toHaveLength(1);
    expect(changesOf(calls, unmanaged?.id).map(({ verb }) => verb)).toEqual([
      'stop',
      'rename',
      'setRestartPolicy',
      'remove',
    ]);
    const started = calls.findIndex(({ verb, id }) => verb === 'start' && id !== unmanaged?.id);
    const stopped = calls.findIndex(({ verb, id }) => verb === 'stop' && id === unmanaged?.id);
    expect(started).toBeLessThan(stopped);
  });

  it('an unmanaged container comes back with --force as well when the new agent does not run', async () => {
    const { world, replace } = hostWith({
      agent: actor('unmanaged', 'running'),
      health: 'fails-when-active',
    });
    const unmanaged = world.agent()?.id;
    expect(await replace({ adopt: true })).toMatchObject({ reached: false });
    expect(world.agent()?.id).toBe(unmanaged);
    expect(world.host.containers().map((container) => world.host.stateOf(container))).toEqual(['running']);
  });

  it('the agent that an unmanaged container pushed aside is brought back first with --force', async () => {
    const scene = { agent: actor('unmanaged', 'running'), previous: [actor('upstream', 'exited')] };
    const { world, calls, replace } = hostWith(scene);
    const [agent] = world.managed();
    expect(await replace({ adopt: true })).toMatchObject({ reached: true });
    expect(world.isWanted(world.agent())).toBe(true);
    expect(world.host.containers()).toHaveLength(1);
    const removed = calls.filter(({ verb }) => verb === 'remove').map(({ id }) => id);
    expect(removed.at(-1)).toBe(agent?.id);
    expect(world.violations.filter((violation) => !violation.includes('unmanaged'))).toEqual([]);
  });

  it('--force replaces no unmanaged container with another of our names: it is not in the way', async () => {
    const forged = actor('forged', 'running');
    const { world, calls, replace } = hostWith({
      ...{ agent: actor('upstream', 'running'), next: forged, previous: [forged], legacy: forged },
    });
    const ids = world.unmanagedContainers().map(({ id }) => id);
    expect(ids).toHaveLength(3);
    expect(await replace({ adopt: true })).toMatchObject({ reached: true });
    expect(world.isWanted(world.agent())).toBe(true);
    expect(calls.filter(({ verb, id = '' }) => verb !== 'inspect' && ids.includes(id))).toEqual([]);
    expect(world.violations).toEqual([]);
  });

  it("has no keys for us, whatever stands in its environment, and its image's PATH is no agent's environment", async () => {
    const { host } = new World(emptyScene);
    const image = { reference: 'nginx', id: 'sha256:nginx', canStandBy: false, health: 'good' } as const;
    host.add({ name: names.agent, image, environment: { ...keys, PATH: '/bin' } });
    for (const adopt of [false, true]) {
      const adopted = adopt ? new Set<string>() : undefined;
      const observation = await observeRoles(new SimulatedEngine(host), names, () => 0, adopted);
      expect(observation.agent?.managed).toBe(adopt);
      expect(findKeyHolder(observation)).toBeUndefined();
    }
  });
});

describe('the container in which the work, or who asked for it, runs', () => {
  const id = 'a'.repeat(64);
  const container = { id, name: names.agent, image: 'rancher/agent:x', state: 'running' } as Observed;
  const steps: readonly Step[] = [
    { do: 'stop', container },
    { do: 'park', container, parkedIndex: 0 },
    { do: 'promote', container },
    { do: 'demote', container, nextIndex: 0 },
    { do: 'demote', container, parkedIndex: 0 },
    { do: 'discard', container },
  ];

  it.each(steps)('is never touched: $do', async (step) => {
    const calls: Call[] = [];
    const world = new World(emptyScene);
    const engine = new SimulatedEngine(world.host, { afterCall: (call) => calls.push(call) });
    // As a host name gives it: the short id.
    const context: ApplyContext = { ...stepContext(world, engine), own: [id.slice(0, 12)] };
    await expect(performStep(step, context)).rejects.toThrow(/is the container that runs this command/);
    expect(calls).toEqual([]);
  });

  it('an upgrade from the container in which it runs fails before anything is created, and says what to do', async () => {
    const { host } = new World({ ...emptyScene, agent: actor('managed', 'running') });
    const observation = await observeRoles(new SimulatedEngine(host), names, () => 0);
    const own = observation.agent?.id ?? '';
    expect(() => {
      requireOwnNames(observation, [own]);
    }).toThrow(/rancher\/agent:earlier\) is the container that runs this command/);
    expect(() => {
      requireOwnNames(observation, ['', 'b'.repeat(64)]);
    }).not.toThrow();
  });

  it('the worker learns the container of its caller, unless that is the agent to be replaced (docker exec)', () => {
    const asking = describeCaller({ id, name: 'job', command: ['/run.sh', 'http://server'] }, words(false));
    expect(readOwnership(asking, 'worker')).toEqual({ adopt: false, own: ['worker', id] });
    const inside = describeCaller({ id, name: 'rancher-agent', command: ['/run.sh', 'run'] }, words(true));
    expect(readOwnership(inside, undefined)).toEqual({ adopt: true, own: [] });
  });

  it('two callers that want the same share one worker', () => {
    const digest = (caller: string, force: boolean): string | undefined => {
      const environment = describeCaller({ id: caller, name: 'job', command: ['upgrade'] }, words(force));
      return buildWorkerSpec({ task: 'upgrade', workerImage: 'i', environment }).labels[labels.request];
    };
    expect(digest('a', false)).toBe(digest('b', false));
    expect(digest('a', false)).not.toBe(digest('a', true));
  });
});
