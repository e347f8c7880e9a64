import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { labels } from '../../../../src/agent/identity/roles.ts';
import { withDeadWorkers } from '../../../../src/agent/worker/names/dead-workers.ts';
import { workerNames } from '../../../../src/agent/worker/follow-profile.ts';
import type { Work } from '../../../../src/agent/worker/session.ts';
import type { ContainerDetails } from '../../../../src/engine/engine.ts';
import { EngineError } from '../../../../src/engine/errors.ts';
import { EngineUnavailableError } from '../../../../src/support/errors.ts';
import type { TransactionResult } from '../../../../src/agent/transaction/transaction.ts';
import { WorkerScene } from '../../fakes/worker-scene.ts';

let scene: WorkerScene;
let removed: string[];
let removal: () => Promise<void>;
/** Ids that are listed and cannot be inspected, as on 1.10.3. */
let hidden: ReadonlySet<string>;

beforeEach(async () => {
  scene = await WorkerScene.create();
  removed = [];
  hidden = new Set();
  removal = async () => Promise.resolve();
});
afterEach(async () => scene.remove());

function add(name: string, parts: Partial<ContainerDetails>): string {
  return scene.add(name, { labels: { [labels.role]: 'worker' }, state: 'dead', ...parts }).id;
}

async function conclude(): Promise<TransactionResult['unremovable']> {
  const { engine } = scene.work;
  const names = [...workerNames(scene.work.names, {}), scene.work.names.deadWorker];
  const work: Work = {
    ...scene.work,
    otherWorkers: await engine.listContainers({ names }),
    engine: {
      ...engine,
      inspectContainer: async (id) => (hidden.has(id) ? undefined : engine.inspectContainer(id)),
      removeContainer: async (id) => {
        removed.push(id);
        return removal();
      },
    },
  };
  const result = { reached: true, unremovable: [] } as unknown as TransactionResult;
  return (await withDeadWorkers(work, result)).unremovable;
}

describe('a dead worker of an earlier run', () => {
  it.each([
    'rancher-agent-worker',
    'rancher-agent-worker-3',
    'rancher-agent-worker-dead',
    'pasturestack-node-agent-worker',
  ])('is removed, whatever it is called: %s', async (name) => {
    const id = add(name, {});
    expect(await conclude()).toEqual([]);
    expect(removed).toEqual([id]);
  });

  it('that an old engine cannot inspect is removed by its id in the list', async () => {
    const id = add('rancher-agent-worker', {});
    hidden = new Set([id]);
    expect(await conclude()).toEqual([]);
    expect(removed).toEqual([id]);
  });

  it.each([
    ['with the words of the engine', new EngineError('remove', 500, 'Driver failed'), 'Driver failed'],
    ['with ours, where it says none', new EngineUnavailableError('no answer'), 'no answer'],
  ])('that cannot be removed is in the state, %s', async (_case, error, originalMessage) => {
    const id = add('rancher-agent-worker-2', {});
    removal = async () => Promise.reject(error);
    expect(await conclude()).toEqual([{ id, name: 'rancher-agent-worker-2', originalMessage }]);
    expect(removed).toEqual([id]);
  });
});

describe('what is not touched', () => {
  it.each([
    ['an unprivileged container', 'rancher-agent-worker', { privileged: false }],
    ['a container of somebody else', 'rancher-agent-worker', { labels: {}, image: 'shop/web:1' }],
    ['a worker at work', 'rancher-agent-worker', { state: 'running' }],
    ['a worker that its caller is about to start', 'rancher-agent-worker', { state: 'created' }],
    ['a container of another name', 'web', {}],
  ] as const)('%s', async (_case, name, parts) => {
    add(name, parts);
    expect(await conclude()).toEqual([]);
    expect(removed).toEqual([]);
  });

  it('one that runs, and that the list calls a worker only', async () => {
    const id = add('rancher-agent-worker', { state: 'running' });
    hidden = new Set([id]);
    expect(await conclude()).toEqual([]);
    expect(removed).toEqual([]);
  });
});
