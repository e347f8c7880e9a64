import { describe, expect, it } from 'vitest';
import { performStep } from '../../../../src/agent/transaction/apply.ts';
import type { Observed } from '../../../../src/agent/transaction/observe.ts';
import { EngineError } from '../../../../src/engine/errors.ts';
import { SimulatedEngine } from '../../fakes/simulated-engine.ts';
import { actor, emptyScene, names } from '../../fakes/transaction-scene.ts';
import { stepContext, World } from '../../fakes/transaction-world.ts';

describe('parking', () => {
  const world = new World({ ...emptyScene, agent: actor('upstream', 'exited') });

  async function park(name: string, originalMessage: string): Promise<readonly string[]> {
    const asked: string[] = [];
    const engine = new SimulatedEngine(world.host);
    engine.renameContainer = async (_id, to) => {
      asked.push(to);
      return Promise.reject(new EngineError('rename', 400, originalMessage));
    };
    const container = { ...world.agent(), name } as unknown as Observed;
    await performStep({ do: 'park', container, parkedIndex: 0 }, stepContext(world, engine));
    return asked;
  }
  const [aside = ''] = names.previous;

  it('parking is complete when a frozen engine has done it since, whatever it was asked again', async () => {
    const same = 'Renaming a container with the same name as its current name';
    expect(await park(names.agent, same)).toEqual([aside]);
  });

  it('parking is complete when it was seen half done, under the new name in the old role', async () => {
    expect(await park(aside, 'is not asked')).toEqual([]);
  });

  it('parking fails when the engine says anything else', async () => {
    await expect(park(names.agent, 'Conflict. The name is already in use')).rejects.toThrow();
  });
});

describe('renaming a container that restarts again and again', () => {
  const sandbox = new EngineError('rename', 404, 'sandbox 1c66 not found');

  async function promote(
    state: Observed['state'],
    ...answers: readonly (Error | undefined)[]
  ): Promise<readonly string[]> {
    const world = new World({ ...emptyScene, agent: actor('wanted', 'exited') });
    const engine = new SimulatedEngine(world.host);
    const calls: string[] = [];
    const left = [...answers];
    engine.renameContainer = async () => {
      calls.push('rename');
      const answer = left.shift();
      if (answer !== undefined) return Promise.reject(answer);
    };
    engine.stopContainer = async () => {
      calls.push('stop');
      return Promise.resolve();
    };
    const container = { ...world.agent(), name: names.next, state } as unknown as Observed;
    const done = performStep({ do: 'promote', container }, stepContext(world, engine));
    await done.catch((error: unknown) => calls.push(String(error)));
    return calls;
  }

  it('stops it first where Docker 20.10 finds no sandbox of it', async () => {
    expect(await promote('restarting', sandbox)).toEqual(['rename', 'stop', 'rename']);
    expect(await promote('running', sandbox)).toEqual(['rename', 'stop', 'rename']);
  });

  it('does not stop it where the name is taken, or a running one whose engine fails', async () => {
    const taken = new EngineError('rename', 409, 'Conflict. The name is already in use');
    expect(await promote('restarting', taken)).toEqual(['rename', String(taken)]);
    const failure = new EngineError('rename', 500, 'a stumble');
    expect(await promote('running', failure)).toEqual(['rename', String(failure)]);
  });
});

describe('discarding on a storage that takes no change', () => {
  async function discard(originalMessage: string): Promise<number> {
    const world = new World({ ...emptyScene, agent: actor('upstream', 'exited') });
    const engine = new SimulatedEngine(world.host);
    let tries = 0;
    engine.removeContainer = async () => {
      tries += 1;
      return Promise.reject(new EngineError('remove', 500, originalMessage));
    };
    const container = { ...world.agent(), name: names.previous[0] } as unknown as Observed;
    await expect(performStep({ do: 'discard', container }, stepContext(world, engine))).rejects.toThrow();
    return tries;
  }

  it.each([
    'Driver devicemapper failed to remove root filesystem x: dm_task_run failed',
    'unlinkat /var/lib/docker/overlay2/x: read-only file system',
    'no space left on device',
  ])('is tried once: %s', async (originalMessage) => {
    expect(await discard(originalMessage)).toBe(1);
  });

  it('is tried again if the device is busy', async () => {
    expect(await discard('Driver devicemapper failed to remove root filesystem x: Device is Busy')).toBe(5);
  });
});
