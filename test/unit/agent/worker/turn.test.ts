import { describe, expect, it } from 'vitest';
import { labels } from '../../../../src/agent/identity/roles.ts';
import { findWorkerAtWork } from '../../../../src/agent/worker/names/managed-worker.ts';
import { requireTurn, WorkerYieldsError } from '../../../../src/agent/worker/names/turn.ts';
import type { ContainerDetails } from '../../../../src/engine/engine.ts';
import { detailsOfWorker } from '../../fakes/worker-scene.ts';

const workers = ['w', 'w-2', 'w-3'];

function worker(
  name: string,
  startedAt: number | undefined,
  parts: Partial<ContainerDetails> = {},
): ContainerDetails {
  return { ...detailsOfWorker, id: `id of ${name}`, name, startedAt, ...parts };
}

function engineWith(...all: readonly ContainerDetails[]): Parameters<typeof requireTurn>[0] {
  return {
    inspectContainer: async (key) => Promise.resolve(all.find(({ id, name }) => name === key || id === key)),
    // The state in a list may be older than that of an inspection.
    listContainers: async () =>
      Promise.resolve(all.map((each) => ({ ...each, command: '', state: 'created' as const, createdAt: 0 }))),
  };
}

/** The names of those that go on. */
async function goOn(...all: readonly ContainerDetails[]): Promise<readonly string[]> {
  const turns = await Promise.allSettled(
    all.map(async (own) => requireTurn(engineWith(...all), own, workers)),
  );
  return all.filter((_, index) => turns[index]?.status === 'fulfilled').map(({ name }) => name);
}

describe('of several workers one goes on', () => {
  it.each([
    ['alone', [worker('w', 5)], ['w']],
    ['the one that was started first', [worker('w', 5), worker('w-2', 4)], ['w-2']],
    ['in either order', [worker('w-2', 6), worker('w', 5)], ['w']],
    ['started at once: the lower number', [worker('w-3', 5), worker('w-2', 5)], ['w-2']],
    ['of three', [worker('w', 7), worker('w-2', 9), worker('w-3', 5)], ['w-3']],
    ['the engine says no time: the lower number', [worker('w', undefined), worker('w-2', undefined)], ['w']],
  ])('%s', async (_case, all, expected) => {
    expect(await goOn(...all)).toEqual(expected);
  });

  it.each([
    ['one that is not started yet, and looks when it is', { state: 'created' }],
    ['one that has exited', { state: 'exited' }],
    ['a dead one', { state: 'dead' }],
    ['an unprivileged container with our label', { privileged: false }],
    ['a privileged container without the socket', { binds: [] }],
    ['a managed container of another role', { labels: { [labels.role]: 'agent' } }],
  ] as const)('%s keeps no other one from its work', async (_case, parts) => {
    const own = worker('w-2', 5);
    await requireTurn(engineWith(worker('w', 1, parts), own), own, workers);
  });

  it.each(['running', 'paused', 'restarting'] as const)('one that is %s does', async (state) => {
    const own = worker('w-2', 5);
    const turn = requireTurn(engineWith(worker('w', 1, { state }), own), own, workers);
    await expect(turn).rejects.toBeInstanceOf(WorkerYieldsError);
    await expect(turn).rejects.toMatchObject({
      exitCode: 75,
      message: expect.stringContaining('w (id of w') as string,
    });
  });

  it('callers follow that one', async () => {
    const engine = engineWith(worker('w', 5, { privileged: false }), worker('w-2', 9), worker('w-3', 7));
    expect((await findWorkerAtWork(engine, { workers }))?.name).toBe('w-3');
    expect(
      await findWorkerAtWork(engineWith(worker('w', 5, { state: 'exited' })), { workers }),
    ).toBeUndefined();
  });
});
