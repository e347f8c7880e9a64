import { beforeEach, describe, expect, it } from 'vitest';
import {
  findOldAgent,
  restartAgent,
  startAgain,
  stopWithRestarter,
  type RestarterView,
} from '../../../src/cleanup/agent-restarter.ts';
import { labels } from '../../../src/agent/identity/roles.ts';
import type { ContainerDetails, ContainerSpec, ContainerState, Engine } from '../../../src/engine/engine.ts';
import { EngineError } from '../../../src/engine/errors.ts';
import {
  CannotChangeError,
  EngineUnavailableError,
  TryAgainLaterError,
} from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { leakedDetails } from '../fakes/leaked.ts';
import { VirtualClock } from '../fakes/simulated-host.ts';
import { names } from '../fakes/role-names.ts';

let containers: Map<string, ContainerDetails>;
let calls: string[];
let specs: ContainerSpec[];
/** How often a call fails before it works. */
let failures: Map<string, number>;
let clock: VirtualClock;

beforeEach(() => {
  containers = new Map();
  calls = [];
  specs = [];
  failures = new Map();
  clock = new VirtualClock();
});

function add(id: string, parts: Partial<ContainerDetails>): void {
  containers.set(id, leakedDetails({ id, command: ['/run.sh', 'run'], ...parts }));
}

function set(id: string, state: ContainerState): void {
  const found = containers.get(id);
  if (found === undefined) throw new EngineError(id, 404, 'no such container');
  containers.set(id, { ...found, state });
}

function call(text: string): void {
  calls.push(text);
  const left = failures.get(text) ?? 0;
  failures.set(text, left - 1);
  if (left > 0) throw new EngineUnavailableError(`${text}: no answer`);
}

/** Few containers in a map. */
const engine = {
  inspectContainer: async (nameOrId: string) =>
    Promise.resolve([...containers.values()].find(({ id, name }) => [id, name].includes(nameOrId))),
  createContainer: async (name: string, spec: ContainerSpec) => {
    call(`create ${name}`);
    if ([...containers.values()].some((other) => other.name === name))
      throw new EngineError('create', 409, 'taken');
    specs.push(spec);
    add(name, { name, state: 'created', labels: spec.labels });
    return Promise.resolve(name);
  },
  startContainer: async (id: string) => {
    call(`start ${id}`);
    set(id, 'running');
    return Promise.resolve();
  },
  stopContainer: async (id: string) => {
    call(`stop ${id}`);
    set(id, 'exited');
    return Promise.resolve();
  },
  setRestartPolicy: async (id: string) => {
    call(`policy off ${id}`);
    return Promise.resolve();
  },
  removeContainer: async (id: string, { force }: { force: boolean }) => {
    call(`remove ${id}${force ? ' by force' : ''}`);
    containers.delete(id);
    return Promise.resolve();
  },
} as Partial<Engine> as Engine;

function view(): RestarterView {
  return { engine, names, limits: defaultLimits, clock, log: silentLog };
}

const order = {
  agent: { id: 'old', name: 'rancher-agent' },
  cleanup: { id: 'cleaner', imageId: 'sha256:ours' },
  environment: {},
  hostSocket: '/var/run/docker.sock',
};
const restarter = 'rancher-agent-restarter';
const never = new AbortController().signal;

describe('an agent that leaks', () => {
  it.each([
    ['with the legacy entrypoint', { name: 'rancher-agent', state: 'running' }, 'old'],
    ['that restarts', { name: 'rancher-agent', state: 'restarting' }, 'old'],
    [
      'with this entrypoint',
      { name: 'rancher-agent', state: 'running', labels: { [labels.version]: '1' } },
      undefined,
    ],
    ['that is stopped', { name: 'rancher-agent', state: 'exited' }, undefined],
    [
      'of an unmanaged image',
      { name: 'rancher-agent', state: 'running', image: 'debian', labels: {} },
      undefined,
    ],
    ['under another name', { name: 'angry_darwin', state: 'running' }, undefined],
  ] as const)('is found, or not: one %s', async (_, parts, expected) => {
    add('old', parts);
    expect((await findOldAgent(engine, names))?.id).toBe(expected);
  });
});

describe('stopping the agent', () => {
  beforeEach(() => {
    add('old', { name: 'rancher-agent', state: 'running' });
  });

  it('happens when the agent restarter runs, which the engine starts again if it exits', async () => {
    await stopWithRestarter(view(), order);
    expect(calls).toEqual([`create ${restarter}`, `start ${restarter}`, 'stop old']);
    expect(specs).toMatchObject([
      {
        image: 'sha256:ours',
        command: ['agent-restarter', 'old', 'cleaner'],
        restart: 'always',
        autoRemove: false,
      },
    ]);
  });

  it('is refused while another cleanup has an agent restarter', async () => {
    add(restarter, { name: restarter, state: 'running', labels: { [labels.role]: 'agent-restarter' } });
    await expect(stopWithRestarter(view(), order)).rejects.toBeInstanceOf(TryAgainLaterError);
    expect(calls).toEqual([]);
  });

  it('removes an agent restarter that has exited, and leaves an unmanaged container of that name alone', async () => {
    add(restarter, { name: restarter, state: 'created', labels: { [labels.role]: 'agent-restarter' } });
    await stopWithRestarter(view(), order);
    expect(calls[0]).toBe(`remove ${restarter}`);
    add(restarter, { name: restarter, state: 'exited' });
    calls.length = 0;
    await stopWithRestarter(view(), order);
    expect(calls).toEqual([`create ${restarter}-2`, `start ${restarter}-2`, 'stop old']);
    expect(containers.get(restarter)?.state).toBe('exited');
  });

  it('believes no tenant’s container that runs as agent restarter, and uses a spare name', async () => {
    const forged = { labels: { [labels.role]: 'agent-restarter' }, binds: [], privileged: false } as const;
    add(restarter, { name: restarter, state: 'running', ...forged });
    await stopWithRestarter(view(), order);
    expect(calls).toEqual([`create ${restarter}-2`, `start ${restarter}-2`, 'stop old']);
    expect(await startAgain(view(), 'old')).toBe(true);
    expect(calls.slice(3)).toEqual(['start old', `remove ${restarter}-2 by force`]);
  });

  it('is refused with the names of those who have all its names', async () => {
    for (const name of names.restarters) add(name, { name, state: 'running', binds: [] });
    await expect(stopWithRestarter(view(), order)).rejects.toMatchObject({
      code: 'role-name-taken',
      exitCode: 73,
      message: expect.stringMatching(/rancher-agent-restarter .*rancher-agent-restarter-3 /) as string,
    });
    expect(calls).toEqual([]);
  });

  it('the agent restarter has the socket, and neither privileges nor memory without limit', async () => {
    await stopWithRestarter(view(), order);
    expect(specs).toMatchObject([
      {
        privileged: false,
        hostNetwork: false,
        hostPid: false,
        binds: ['/var/run/docker.sock:/var/run/docker.sock'],
        securityOptions: [
          ['label', 'disable'],
          ['seccomp', 'unconfined'],
        ],
      },
    ]);
    expect(specs[0]?.memoryBytes).toBeGreaterThan(0);
    expect(specs[0]?.pidsLimit).toBeGreaterThan(0);
  });

  it('leaves the agent running and no agent restarter if it fails', async () => {
    failures.set('stop old', 1);
    await expect(stopWithRestarter(view(), order)).rejects.toThrow('rancher-agent could not be stopped');
    expect(calls.slice(2)).toEqual(['stop old', 'start old', `remove ${restarter} by force`]);
  });

  it('the agent is not stopped when the agent restarter cannot be started', async () => {
    failures.set(`start ${restarter}`, 1);
    await expect(stopWithRestarter(view(), order)).rejects.toBeInstanceOf(CannotChangeError);
    expect(calls).not.toContain('stop old');
    expect(containers.has(restarter)).toBe(false);
  });
});

describe('starting the agent again', () => {
  beforeEach(() => {
    add(restarter, { name: restarter, state: 'running', labels: { [labels.role]: 'agent-restarter' } });
  });

  it('happens before the agent restarter is removed', async () => {
    add('old', { name: 'rancher-agent', state: 'exited' });
    expect(await startAgain(view(), 'old')).toBe(true);
    expect(calls).toEqual(['start old', `remove ${restarter} by force`]);
  });

  it('is left to the agent restarter if it fails', async () => {
    add('old', { name: 'rancher-agent', state: 'exited' });
    failures.set('start old', 1);
    expect(await startAgain(view(), 'old')).toBe(false);
    expect(containers.get(restarter)?.state).toBe('running');
  });

  it('leaves an upgrade alone that has parked the agent, or put another one in its place', async () => {
    add('old', { name: 'rancher-agent-previous', state: 'exited' });
    add('new', { name: 'rancher-agent', state: 'running' });
    expect(await startAgain(view(), 'old')).toBe(true);
    containers.delete('old');
    expect(await startAgain(view(), 'old')).toBe(true);
    expect(calls.filter((text) => text.startsWith('start'))).toEqual([]);
  });

  it('does not take a tenant’s container for the agent that took its place', async () => {
    add('new', { name: 'rancher-agent', state: 'running', privileged: false });
    expect(await startAgain(view(), 'old')).toBe(false);
  });

  it('fails when there is no agent left', async () => {
    expect(await startAgain(view(), 'old')).toBe(false);
  });
});

describe('the agent restarter', () => {
  const ids = { agent: 'old', cleanup: 'cleaner', own: restarter };
  const removedItself = [`policy off ${restarter}`, `remove ${restarter} by force`];

  beforeEach(() => {
    add('old', { name: 'rancher-agent', state: 'exited' });
  });

  it.each([['is gone'], ['exited'], ['dead']] as const)(
    'starts the agent at once when the cleanup %s, and removes itself last',
    async (state) => {
      if (state !== 'is gone') add('cleaner', { state });
      await restartAgent(view(), ids, never);
      expect(calls).toEqual(['start old', ...removedItself]);
    },
  );

  it('waits while the cleanup runs or is paused', async () => {
    add('cleaner', { state: 'running' });
    const begun = clock.now();
    const asleep = clock.sleep.bind(clock);
    let naps = 0;
    clock.sleep = async (ms, signal) => {
      naps += 1;
      if (naps === 3) set('cleaner', 'paused');
      if (naps === 5) containers.delete('cleaner');
      return asleep(ms, signal);
    };
    await restartAgent(view(), ids, never);
    expect(clock.now() - begun).toBe(5 * defaultLimits.RESTARTER_POLL);
    expect(calls[0]).toBe('start old');
  });

  it('does not wait for ever for a cleanup that hangs', async () => {
    add('cleaner', { state: 'running' });
    await restartAgent(view(), ids, never);
    expect(calls[0]).toBe('start old');
    expect(clock.now() - Date.UTC(2026, 0, 1)).toBeLessThanOrEqual(
      defaultLimits.RESTARTER_TOTAL + defaultLimits.RESTARTER_POLL,
    );
  });

  it('the agent restarter tries again, with growing pauses, when the engine does not answer', async () => {
    failures.set('start old', 5);
    await restartAgent(view(), ids, never);
    expect(calls.filter((text) => text === 'start old')).toHaveLength(6);
    expect(clock.now() - Date.UTC(2026, 0, 1)).toBe(1_000 + 2_000 + 4_000 + 8_000 + 16_000);
  });

  it('exits after a limited time, and the engine starts it again', async () => {
    failures.set('start old', Number.POSITIVE_INFINITY);
    await expect(restartAgent(view(), ids, never)).rejects.toBeInstanceOf(CannotChangeError);
  });
});
