import { beforeEach, describe, expect, it } from 'vitest';
import { HoldError, NotProvenError } from '../../../../../src/agent/transaction/not-ready.ts';
import { InterruptedError, TryAgainLaterError } from '../../../../../src/support/errors.ts';
import { failureWith, legacy } from '../../../fakes/worker-scene.ts';
import {
  addOld,
  keepWriting,
  next,
  oldImage,
  pass,
  refusalOf,
  stageAgain,
  stageNextAgent,
  target,
} from './gate-stage.ts';
import { scene, server, timed } from './proof-stage.ts';

stageNextAgent();

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
      hint: 'look at the certificate; the next agent stays on standby, and the next try continues with it',
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
    await stageAgain({ profile: 'pasturestack' }, 'pasturestack-node-agent-next');
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
