import { mkdir, rename, rm, symlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HoldError, NotProvenError, NotReadyError } from '../../../../../src/agent/transaction/not-ready.ts';
import { readinessFile, type ReadinessResult } from '../../../../../src/agent/run/readiness/result.ts';
import { awaitReadiness, type Gate, type Passage } from '../../../../../src/agent/worker/proof/gate.ts';
import type { ContainerDetails } from '../../../../../src/engine/engine.ts';
import { EngineError } from '../../../../../src/engine/errors.ts';
import { InterruptedError, TryAgainLaterError } from '../../../../../src/support/errors.ts';
import { startStubServer, type StubServer } from '../../../../support/server/stub/stub-server.ts';
import {
  agentKeys,
  environmentFor,
  failureWith,
  hardened,
  legacy,
  startedAt,
  WorkerScene,
  type SceneOptions,
} from '../../../fakes/worker-scene.ts';

const target = 'rancher/agent:wanted';
const oldImage = 'rancher/agent:v1.2.11';
/** The first start of every container in a scene. */
const start = `${startedAt}/0`;

let server: StubServer;
let scene: WorkerScene;
let next: ContainerDetails;

beforeAll(async () => {
  server = await startStubServer({ agents: [agentKeys] });
});
beforeEach(async () => {
  await server.heal();
  await stage();
});
afterEach(async () => scene.remove());
afterAll(async () => server.close());

/** A host with a next agent on standby and nothing else. */
async function stage(options: SceneOptions = {}): Promise<void> {
  scene = await WorkerScene.create(options);
  next = scene.add('rancher-agent-next', { environment: environmentFor(`${server.url}/v1`) });
}

/** The same in the middle of a test. */
async function stageAgain(options: SceneOptions): Promise<void> {
  await scene.remove();
  await stage(options);
}

function addOld(labels: Readonly<Record<string, string>>, parts: Partial<ContainerDetails> = {}): void {
  const environment = environmentFor(`${server.url}/v1`);
  scene.add('rancher-agent', { labels, environment, image: oldImage, ...parts });
}

async function pass(parts: Partial<Gate> = {}): Promise<Passage> {
  const usual = { work: scene.work, offline: false, target, isReconciling: false } as const;
  const gate: Gate = { ...usual, lifetime: scene.life.signal, ...parts };
  return awaitReadiness(gate, await scene.observed(next.name), await scene.observe());
}

async function refusalOf(parts: Partial<Gate> = {}): Promise<unknown> {
  return pass(parts).then(
    (passage) => ({ passed: passage }),
    (error: unknown) => error,
  );
}

/** How long (ms) the scene's time went on. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = scene.clock.elapsed();
  await work();
  return scene.clock.elapsed() - begun;
}

/** Keeps a result fresh for ever, as a next agent does. */
async function keepWriting(parts: Partial<ReadinessResult>): Promise<void> {
  await scene.writeReadiness(next, parts);
  scene.clock.after(10_000, async () => keepWriting(parts));
}

describe('a next agent that is ready', () => {
  it('is let through at once, without an exec', async () => {
    addOld(hardened);
    await scene.writeReadiness(next);
    expect(await timed(async () => expect(await pass()).toEqual({ isRescue: false, start }))).toBe(0);
    expect(scene.executed).toEqual([]);
    expect(scene.told).toEqual([
      `waiting until rancher-agent-next has proven that it can serve ${server.url}/v1`,
    ]);
  });

  it('a little later, is let through then', async () => {
    addOld(hardened);
    scene.clock.after(3_000, async () => scene.writeReadiness(next));
    expect(await timed(pass)).toBe(3_000);
  });

  it('after a check had failed, is let through: what heals within READY is no failure', async () => {
    addOld(hardened);
    await scene.writeReadiness(next, { failure: failureWith() });
    scene.clock.after(20_000, async () => scene.writeReadiness(next));
    expect(await timed(pass)).toBe(20_000);
  });
});

describe('a result is not believed', () => {
  it.each<[string, Partial<ReadinessResult>]>([
    ['of another container, as docker commit copies it', { container: 'f'.repeat(64) }],
    ['of another start of this one', { startedAt: startedAt - 1 }],
    ['of the life before an automatic restart', { restartCount: 1 }],
    ['from the future', { checkedAt: 99_000_000 }],
  ])('%s', async (_what, parts) => {
    addOld(hardened);
    await keepWriting(parts);
    expect(await refusalOf()).toMatchObject({ code: 'ready-no-answer' });
  });

  it.each([
    [30_000, 'ready'],
    [30_001, 'too old'],
  ])('%i ms after it was written: %s', async (age, judged) => {
    addOld(hardened);
    await scene.writeReadiness(next, { checkedAt: scene.clock.elapsed() - age });
    const outcome = await refusalOf();
    if (judged === 'ready') expect(outcome).toEqual({ passed: { isRescue: false, start } });
    else expect(outcome).toMatchObject({ code: 'ready-no-answer' });
  });
});

describe('a file that cannot be read safely is not read: the next agent is asked by exec', () => {
  beforeEach(() => {
    addOld(hardened);
    scene.onExecute = () => ({
      status: 0,
      stdout: `WARNING: x\n${JSON.stringify(scene.readinessOf(next))}\n`,
      stderr: '',
    });
  });

  async function isAsked(): Promise<void> {
    expect(await pass()).toEqual({ isRescue: false, start });
    const { READY_BYTES, READY_EXEC } = scene.work.configuration.limits;
    expect(scene.executed).toMatchObject([
      { id: next.id, command: ['/run.sh', 'ready', '--json'], maxBytes: READY_BYTES, deadlineMs: READY_EXEC },
    ]);
  }

  it('a link in the place of the file', async () => {
    const file = scene.pathIn(next, readinessFile);
    await scene.writeReadiness(next);
    await rename(file, `${file}.real`);
    await symlink('readiness.json.real', file);
    await isAsked();
  });

  it('a link in the place of a folder', async () => {
    const folder = dirname(scene.pathIn(next, readinessFile));
    await scene.writeReadiness(next);
    await rename(folder, `${folder}.real`);
    await symlink(`${folder}.real`, folder);
    await isAsked();
  });

  it.each([
    ['no JSON', '{"version":1,'],
    ['JSON of another kind', '{"version":2}'],
    ['too long', `"${'x'.repeat(70_000)}"`],
  ])('%s', async (_what, text) => {
    await scene.writeIn(next, readinessFile, text);
    await isAsked();
  });

  it('a folder in the place of the file', async () => {
    await mkdir(scene.pathIn(next, readinessFile), { recursive: true });
    await isAsked();
  });

  it('an engine that cannot execute either: no result, and nobody is blamed', async () => {
    await scene.writeIn(next, readinessFile, 'damaged');
    scene.onExecute = () => {
      throw new EngineError('exec', 500, 'rpc error: code = 13');
    };
    const error = await refusalOf();
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).toMatchObject({ code: 'ready-no-answer', exitCode: 75 });
  });

  it('a worker that is told to stop meanwhile stops', async () => {
    await scene.writeIn(next, readinessFile, 'damaged');
    const reason = new InterruptedError('SIGTERM');
    scene.onExecute = ({ signal }) => {
      scene.stop.abort(reason);
      expect(signal?.aborted).toBe(true);
      throw new Error('aborted');
    };
    expect(await refusalOf()).toBe(reason);
  });
});

describe('beside an agent that serves', () => {
  beforeEach(() => {
    addOld(hardened);
  });

  it('one that does not reach the server, while the old one does, is refused after READY', async () => {
    await keepWriting({ failure: failureWith() });
    scene.onExecute = () => ({ status: 0, stdout: JSON.stringify(scene.readinessOf(next)), stderr: '' });
    const ms = await timed(async () => {
      const error = await refusalOf();
      expect(error).toBeInstanceOf(NotReadyError);
      expect(error).toMatchObject({
        code: 'ready-curl-tls',
        exitCode: 73,
        hint: 'look at the certificate',
        message:
          'the next agent cannot serve: curl does not trust the server; the agent that is there reaches the server',
      });
    });
    expect(ms).toBe(60_000);
    // Measured more than once, in the old agent's container, and only when the answer depends on it.
    const measured = scene.executed.map(({ id }) => scene.containers.get(id)?.name);
    expect(measured).toEqual(['rancher-agent', 'rancher-agent', 'rancher-agent']);
  });

  it('one that does not reach it, as little as the old one, is deferred', async () => {
    await keepWriting({ failure: failureWith() });
    const silent = failureWith({ check: 'server', cause: 'ready-server-refused' });
    scene.onExecute = () => ({
      status: 75,
      stdout: JSON.stringify(scene.readinessOf(next, { failure: silent })),
      stderr: '',
    });
    const error = await refusalOf();
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).not.toBeInstanceOf(HoldError);
    expect(error).toMatchObject({ code: 'ready-curl-tls', exitCode: 75 });
  });

  it('a server that is ill is nobody’s fault: deferred, and nothing is measured', async () => {
    await keepWriting({
      failure: failureWith({ check: 'script', fault: 'server', cause: 'ready-script-busy' }),
    });
    expect(await refusalOf()).toMatchObject({ code: 'ready-script-busy', exitCode: 75 });
    expect(scene.executed).toEqual([]);
  });

  it('a program that is missing is refused at once', async () => {
    const failure = failureWith({ check: 'programs', fault: 'image', cause: 'ready-script-no-bash' });
    await scene.writeReadiness(next, { failure });
    const ms = await timed(async () => {
      expect(await refusalOf()).toMatchObject({ code: 'ready-script-no-bash', exitCode: 73 });
    });
    expect(ms).toBe(0);
  });

  it('one that never says anything is deferred after READY', async () => {
    const ms = await timed(async () => {
      expect(await refusalOf()).toMatchObject({ code: 'ready-no-answer', exitCode: 75 });
    });
    expect(ms).toBe(60_000);
  });

  it('keys that the server accepts from the old agent did not arrive whole', async () => {
    await keepWriting({ failure: failureWith({ check: 'keys', fault: 'keys', confirmed: true }) });
    scene.onExecute = () => ({ status: 0, stdout: JSON.stringify(scene.readinessOf(next)), stderr: '' });
    const error = await refusalOf();
    expect(error).toMatchObject({ exitCode: 73 });
    expect(String(error)).toContain('the server accepts the same keys from the agent that is there');
  });

  it('keys that the server refuses to both are no reason to keep the old one', async () => {
    const failure = failureWith({ check: 'keys', fault: 'keys', confirmed: true });
    await keepWriting({ failure });
    scene.onExecute = () => ({
      status: 77,
      stdout: JSON.stringify(scene.readinessOf(next, { failure })),
      stderr: '',
    });
    expect(await pass()).toEqual({ isRescue: false, failure, start });
  });

  it('offline: the server is not asked, and nothing is waited for', async () => {
    const before = server.requests.length;
    expect(await timed(async () => pass({ offline: true }))).toBe(0);
    expect(server.requests.length).toBe(before);
    expect(scene.told).toEqual([]);
  });

  it('a worker that is told to stop stops', async () => {
    const reason = new InterruptedError('SIGTERM');
    scene.clock.after(2_000, () => {
      scene.stop.abort(reason);
    });
    expect(await refusalOf()).toBe(reason);
  });

  it('the end of the worker’s time is no HoldError: an agent is active', async () => {
    const reason = new TryAgainLaterError('the worker’s time is up');
    scene.clock.after(2_000, () => {
      scene.life.abort(reason);
    });
    expect(await refusalOf()).toBe(reason);
  });
});

describe('where there is nothing to protect', () => {
  const failure = failureWith();

  it('the first agent of a host is promoted after READY, with the check that failed', async () => {
    await keepWriting({ failure });
    expect(await timed(async () => expect(await pass()).toEqual({ isRescue: false, failure, start }))).toBe(
      60_000,
    );
  });

  it.each(['exited', 'restarting', 'created', 'paused'] as const)(
    'beside an agent that does not run (%s) it is a rescue, and nobody waits',
    async (state) => {
      addOld(hardened, { state });
      await scene.writeReadiness(next, { failure });
      expect(await timed(async () => expect(await pass()).toEqual({ isRescue: true, failure, start }))).toBe(
        0,
      );
    },
  );

  it('offline it still is a rescue', async () => {
    addOld(hardened, { state: 'exited' });
    expect(await pass({ offline: true })).toEqual({ isRescue: true });
  });

  it('a parked agent that runs is one to protect', async () => {
    scene.add('rancher-agent-previous', { environment: environmentFor(`${server.url}/v1`) });
    await keepWriting({ failure: failureWith({ fault: 'server' }) });
    expect(await refusalOf()).toMatchObject({ exitCode: 75 });
  });
});

describe('what an interrupted upgrade left', () => {
  it('gets no more than READY: then the parked agent comes back', async () => {
    scene.add('rancher-agent-previous', { labels: legacy, state: 'exited', environment: next.environment });
    await keepWriting({ failure: failureWith() });
    const ms = await timed(async () => {
      expect(await refusalOf({ isReconciling: true })).toBeInstanceOf(NotProvenError);
    });
    expect(ms).toBe(60_000);
  });
});

describe('while a legacy agent is active and the server requires another image', () => {
  beforeEach(() => {
    server.setRequiredImage(target);
    addOld(legacy);
  });

  it('READY ends nothing: the next agent is let through whenever it is ready', async () => {
    await keepWriting({ failure: failureWith() });
    scene.clock.after(305_000, async () => {
      scene.clock.after(0, async () => scene.writeReadiness(next));
      return Promise.resolve();
    });
    expect(await timed(pass)).toBeGreaterThan(300_000);
    expect(scene.told[0]).toContain('; no agent is active meanwhile');
  });

  it('the end of the worker’s time holds the next agent: nothing is created or removed', async () => {
    await keepWriting({ failure: failureWith() });
    scene.clock.after(200_000, () => {
      scene.life.abort(new TryAgainLaterError('the worker’s time is up'));
    });
    const error = await refusalOf();
    expect(error).toBeInstanceOf(HoldError);
    expect(error).toMatchObject({
      code: 'ready-curl-tls',
      exitCode: 75,
      hint: 'look at the certificate; the next agent stays on standby, and the next try goes on with it',
    });
    expect(String(error)).toContain('NO agent is active on this host meanwhile');
  });

  it('SIGTERM at that time is a stop, not a hold', async () => {
    await keepWriting({ failure: failureWith() });
    const reason = new InterruptedError('SIGTERM');
    scene.clock.after(10_000, () => {
      scene.stop.abort(reason);
    });
    expect(await refusalOf()).toBe(reason);
  });

  it('an image that cannot work at all is refused at once, and the state says that nobody is active', async () => {
    const failure = failureWith({
      check: 'programs',
      fault: 'image',
      cause: 'ready-script-no-bash',
      message: 'no bash',
    });
    await scene.writeReadiness(next, { failure });
    const error = await refusalOf();
    expect(error).toMatchObject({
      code: 'no-active-agent',
      exitCode: 73,
      originalMessage: 'ready-script-no-bash',
    });
    expect(String(error)).toContain(`NO agent is active on this host, because the server requires ${target}`);
  });

  it('the requirement is withdrawn: within REQUIREMENT_POLL the legacy agent continues automatically', async () => {
    await keepWriting({ failure: failureWith() });
    scene.clock.after(60_000, () => {
      server.setRequiredImage(oldImage);
    });
    const ms = await timed(async () => {
      const error = await refusalOf();
      expect(error).toBeInstanceOf(NotProvenError);
      expect(error).not.toBeInstanceOf(HoldError);
      expect(error).toMatchObject({ code: 'requirement-withdrawn', exitCode: 75 });
    });
    expect(ms).toBeLessThanOrEqual(65_000);
  });

  it('a server that is away withdraws nothing', async () => {
    await stageAgain({ askedBy: 'server' });
    addOld(legacy);
    await server.pause();
    try {
      await keepWriting({ failure: failureWith() });
      scene.clock.after(100_000, () => {
        scene.life.abort(new TryAgainLaterError('the worker’s time is up'));
      });
      expect(await refusalOf()).toBeInstanceOf(HoldError);
    } finally {
      await server.resume();
    }
  });
});

describe('a legacy agent works', () => {
  it('while the server requires its own image: READY counts', async () => {
    server.setRequiredImage(oldImage);
    addOld(legacy);
    await keepWriting({ failure: failureWith({ fault: 'server' }) });
    expect(await timed(async () => refusalOf())).toBe(60_000);
  });

  it('while nothing is known of the requirement and a person asked', async () => {
    await stageAgain({ askedBy: 'person' });
    server.fault('any', { status: 503 });
    addOld(legacy);
    await keepWriting({ failure: failureWith({ fault: 'server' }) });
    const error = await refusalOf();
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).not.toBeInstanceOf(HoldError);
  });
});

describe('an agent under the name of an earlier profile', () => {
  beforeEach(async () => {
    await scene.remove();
    scene = await WorkerScene.create({ profile: 'pasturestack' });
    next = scene.add('pasturestack-node-agent-next', { environment: environmentFor(`${server.url}/v1`) });
  });

  it('is measured as well: what it reaches decides', async () => {
    server.setRequiredImage(oldImage);
    addOld(legacy);
    await keepWriting({ failure: failureWith() });
    scene.onExecute = () => ({ status: 0, stdout: 'whole\nwhole\n', stderr: '' });
    expect(await refusalOf()).toMatchObject({ code: 'ready-curl-tls', exitCode: 73 });
  });

  it('also continues automatically when the requirement is withdrawn', async () => {
    server.setRequiredImage(target);
    addOld(legacy);
    await keepWriting({ failure: failureWith() });
    scene.clock.after(60_000, () => {
      server.setRequiredImage(oldImage);
    });
    scene.clock.after(300_000, () => {
      scene.life.abort(new TryAgainLaterError('the worker’s time is up'));
    });
    expect(await refusalOf()).toMatchObject({ code: 'requirement-withdrawn' });
  });
});

it('a next agent without a process is not read through another one', async () => {
  addOld(hardened);
  await scene.writeReadiness(next);
  scene.change(next.id, { pid: 0 });
  expect(await refusalOf()).toMatchObject({ code: 'ready-no-answer' });
  await rm(scene.pathIn(next, '/'), { recursive: true });
});
