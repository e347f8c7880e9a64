import { beforeEach, describe, expect, it } from 'vitest';
import { HoldError, NotProvenError, NotReadyError } from '../../../../../src/agent/transaction/not-ready.ts';
import { InterruptedError, TryAgainLaterError } from '../../../../../src/support/errors.ts';
import { failureWith, hardened, legacy } from '../../../fakes/worker-scene.ts';
import { addOld, keepWriting, next, pass, refusalOf, stageNextAgent, start } from './gate-stage.ts';
import { agentEnvironment, scene, server, timed } from './proof-stage.ts';

stageNextAgent();

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
          'the next agent cannot serve: curl does not trust the server; the old agent reaches the server',
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
    expect(String(error)).toContain('the server accepts the same keys from the old agent');
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
    scene.add('rancher-agent-previous', { environment: agentEnvironment() });
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
