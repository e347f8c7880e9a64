import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepHouse, reconcileLeftovers, type Leftovers } from '../../../../src/agent/run/housekeeping.ts';
import { labels } from '../../../../src/agent/identity/roles.ts';
import { workerNames } from '../../../../src/agent/worker/follow-profile.ts';
import type { ContainerDetails, Engine } from '../../../../src/engine/engine.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { VirtualClock } from '../../fakes/simulated-host.ts';
import { names } from '../../fakes/role-names.ts';
let folder: string;
let containers: ContainerDetails[];
let done: string[];
/** Whether the engine lists dead containers and cannot inspect them, as 1.10.3. */
let isOld: boolean;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'housekeeping-'));
  await mkdir(join(folder, 'entrypoint'));
  containers = [];
  done = [];
  isOld = false;
});
afterEach(async () => rm(folder, { recursive: true }));

function add(name: string, parts: Partial<ContainerDetails>): void {
  const facts: Partial<ContainerDetails> = {
    ...{ id: `id of ${name}`, name, image: 'rancher/agent:x', labels: { [labels.role]: 'worker' } },
    ...{ privileged: true, binds: ['/var/run/docker.sock:/var/run/docker.sock'], ...parts },
  };
  containers.push(facts as ContainerDetails);
}

async function writeStatus(unremovable: readonly string[]): Promise<void> {
  const status = {
    ...{
      version: 2,
      state: 'degraded',
      since: '2026-01-01T00:00:00.000Z',
      summary: 'x',
      cause: 'cannot-remove',
    },
    ...{ updatedAt: '2026-01-01T00:00:00.000Z', command: 'upgrade', entrypointVersion: '1' },
    unremovable: unremovable.map((name) => ({ id: `id of ${name}`, name, originalMessage: 'no' })),
  };
  await writeFile(join(folder, 'entrypoint/status.json'), JSON.stringify(status));
}

function leftovers(signal: AbortSignal): Leftovers {
  const engine: Partial<Engine> = {
    inspectContainer: async (key) => {
      const found = containers.find(({ id, name }) => id === key || name === key);
      return Promise.resolve(isOld && found?.state === 'dead' ? undefined : found);
    },
    listContainers: async ({ names: wanted = [] }) =>
      Promise.resolve(
        containers
          .filter(({ name }) => wanted.includes(name))
          .map((each) => ({ ...each, command: '', createdAt: 0 })),
      ),
    removeContainer: async (id) => Promise.resolve(void done.push(`remove ${id}`)),
  };
  return {
    ...{ engine: engine as Engine, names, workers: workerNames(names, {}), limits: defaultLimits },
    ...{ clock: new VirtualClock(), log: silentLog, paths: pathsBelow(folder), signal },
    followWorker: async () => Promise.resolve(false),
    reconcile: async () => Promise.resolve(void done.push('reconcile')),
  };
}

/** Keeps house for so many minutes. */
async function keep(minutes: number): Promise<void> {
  const stop = new AbortController();
  const parts = leftovers(stop.signal);
  const end = parts.clock.elapsed() + minutes * 60_000;
  const { clock } = parts;
  const sleep: typeof clock.sleep = async (ms, signal) => {
    if (clock.elapsed() >= end) stop.abort(new Error('over'));
    return clock.sleep(ms, signal);
  };
  const watched = { sleep, now: () => clock.now(), elapsed: () => clock.elapsed(), random: () => 0 };
  await expect(keepHouse({ ...parts, clock: watched })).rejects.toThrow('over');
}

describe('a worker that died as it exited', () => {
  it.each([
    ['and can be inspected', names.worker, false],
    ['under a spare name', `${names.worker}-3`, false],
    ['and cannot be inspected, as on 1.10.3', names.worker, true],
  ])('%s is reconciled within minutes, so that the state names it', async (_case, name, old) => {
    isOld = old;
    add(name, { state: 'dead' });
    await keep(6);
    expect(done).toEqual(['reconcile']);
  });

  it('is left in peace once the state names it', async () => {
    add(names.worker, { state: 'dead' });
    await writeStatus([names.worker]);
    await keep(60);
    expect(done).toEqual([]);
  });

  it('is tried again at the start of the agent', async () => {
    add(names.worker, { state: 'dead' });
    await writeStatus([names.worker]);
    await reconcileLeftovers(leftovers(new AbortController().signal));
    expect(done).toEqual(['reconcile']);
  });
});

describe('a worker that nobody follows any more', () => {
  it.each([names.worker, `${names.worker}-2`])('is removed when it has exited: %s', async (name) => {
    add(name, { state: 'exited' });
    await keep(6);
    expect(done).toContain(`remove id of ${name}`);
  });

  it.each([
    ['unprivileged', { privileged: false }],
    ['without the socket', { binds: [] }],
    ['of another role', { labels: { [labels.role]: 'agent' } }],
  ])('is not removed if it is unmanaged or has another role: %s', async (_case, parts) => {
    add(names.worker, { state: 'exited', ...parts });
    await keep(6);
    expect(done.filter((each) => each.startsWith('remove'))).toEqual([]);
  });
});
