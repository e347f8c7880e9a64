import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitOutBackOff } from '../../../../src/agent/worker/legacy-back-off.ts';
import {
  noAttempts,
  recordBegin,
  recordFailure,
  recordSuccess,
  type Attempts,
} from '../../../../src/host/attempts.ts';
import { EngineError } from '../../../../src/engine/errors.ts';
import { InterruptedError, TryAgainLaterError } from '../../../../src/support/errors.ts';
import { defaultLimits } from '../../../../src/support/limits.ts';
import { hardened, legacy, WorkerScene } from './worker-scene.ts';

const image = 'rancher/agent:wanted';
let scene: WorkerScene;

beforeEach(async () => {
  scene = await WorkerScene.create();
});
afterEach(async () => scene.remove());

function agentWith(attempts: Attempts, labels: Readonly<Record<string, string>> = legacy): void {
  scene.add('rancher-agent', { labels, image: 'rancher/agent:v1.2.11' });
  scene.onExecute = () => ({ status: 0, stdout: `${JSON.stringify(attempts)}\n`, stderr: '' });
}

function failed(times: number, of = image): Attempts {
  let attempts = noAttempts;
  for (let i = 0; i < times; i++) {
    attempts = recordBegin(attempts, of, scene.clock.now(), defaultLimits);
    attempts = recordFailure(attempts, of, 'ready-no-bash', scene.clock.now(), defaultLimits);
  }
  return attempts;
}

async function wait(): Promise<unknown> {
  const { engine, names, configuration, clock, log } = scene.work;
  const backOff = { engine, names, configuration, clock, log, signal: scene.stop.signal };
  return waitOutBackOff(backOff, image).catch((error: unknown) => error);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = scene.clock.elapsed();
  await work();
  return scene.clock.elapsed() - begun;
}

describe('an image in back-off', () => {
  it.each([
    [1, 30_000],
    [2, 60_000],
    [30, 600_000],
  ])('after %i failures its caller waits %i ms, and makes no worker', async (times, ms) => {
    agentWith(failed(times));
    const waited = await timed(async () => {
      const error = await wait();
      expect(error).toBeInstanceOf(TryAgainLaterError);
      expect(error).toMatchObject({ exitCode: 75 });
      expect(String(error)).toContain(`the last attempt at ${image} failed (ready-no-bash)`);
    });
    expect(waited).toBe(ms);
    expect(scene.lines.join('')).toContain('no worker is created for');
  });

  it('reads the record in the agent’s own container, with bounds', async () => {
    agentWith(failed(1));
    await wait();
    const { INSPECT, READY_BYTES } = scene.work.configuration.limits;
    expect(scene.executed).toMatchObject([
      {
        command: ['cat', '/var/lib/rancher/entrypoint/attempts.json'],
        deadlineMs: INSPECT,
        maxBytes: READY_BYTES,
      },
    ]);
  });

  it('is left at once by a caller that is told to stop', async () => {
    agentWith(failed(5));
    const reason = new InterruptedError('SIGTERM');
    scene.stop.abort(reason);
    expect(await wait()).toBe(reason);
  });
});

describe('nobody waits', () => {
  it.each<[string, () => Attempts]>([
    ['that was never tried', () => noAttempts],
    ['that succeeded since', () => recordSuccess(failed(3), image)],
    ['while another one is in back-off', () => failed(3, 'rancher/agent:other')],
  ])('for an image %s', async (_what, make) => {
    agentWith(make());
    expect(await timed(async () => expect(await wait()).toBeUndefined())).toBe(0);
  });

  it('when the pause is over already', async () => {
    agentWith(failed(1));
    await scene.clock.sleep(30_000);
    expect(await timed(async () => expect(await wait()).toBeUndefined())).toBe(0);
  });

  it('beside a hardened agent, which keeps the back-off itself', async () => {
    agentWith(failed(5), hardened);
    expect(await wait()).toBeUndefined();
    expect(scene.executed).toEqual([]);
  });

  it('beside a stranger that has the name', async () => {
    agentWith(failed(5), {});
    const [stranger] = [...scene.containers.values()];
    scene.change(stranger?.id ?? '', { image: 'nginx:latest' });
    expect(await wait()).toBeUndefined();
    expect(scene.executed).toEqual([]);
  });

  it('beside an agent that does not run', async () => {
    agentWith(failed(5));
    const [agent] = [...scene.containers.values()];
    scene.change(agent?.id ?? '', { state: 'exited' });
    expect(await wait()).toBeUndefined();
  });

  it.each<[string, () => never | { status: number; stdout: string; stderr: string }]>([
    ['is missing', () => ({ status: 1, stdout: '', stderr: 'cat: No such file' })],
    ['is damaged', () => ({ status: 0, stdout: '{"version":1,"targets":', stderr: '' })],
    [
      'cannot be read',
      () => {
        throw new EngineError('exec', 500, 'rpc error');
      },
    ],
  ])('when the record %s: one worker too many is better than none', async (_what, onExecute) => {
    agentWith(failed(5));
    scene.onExecute = onExecute;
    expect(await wait()).toBeUndefined();
  });
});
