import { describe, expect, it } from 'vitest';
import { judgeError, judgeTransaction } from '../../../../src/agent/report/outcome.ts';
import { FlappingError } from '../../../../src/agent/worker/flapping.ts';
import {
  BootstrapFailsError,
  HoldError,
  nextRemoved,
  nextStopped,
  NotProvenError,
  NotReadyError,
} from '../../../../src/agent/transaction/not-ready.ts';
import type { TransactionResult } from '../../../../src/agent/transaction/transaction.ts';
import type { Serving } from '../../../../src/agent/worker/proof/serving.ts';
import { StorageLowError } from '../../../../src/host/errors.ts';
import {
  CannotChangeError,
  EngineUnavailableError,
  InterruptedError,
  TryAgainLaterError,
} from '../../../../src/support/errors.ts';

function resultWith(parts: Partial<TransactionResult>): TransactionResult {
  return {
    reached: false,
    agent: undefined,
    agentRuns: false,
    restarts: false,
    unremovable: [],
    touchedAgent: false,
    isIncumbent: true,
    error: undefined,
    ...parts,
  };
}

const agent = { name: 'rancher-agent', image: 'rancher/agent:v1' } as TransactionResult['agent'];

describe('how work ends', () => {
  it.each([
    [new StorageLowError('low'), 'deferred', 75, 'storage-low'],
    [new NotReadyError('ready-script-no-bash', 'no bash'), 'failed', 73, 'ready-script-no-bash'],
    [new BootstrapFailsError('three times'), 'failed', 73, 'bootstrap-fails'],
    [new NotProvenError('ready-server-busy', 'the server is ill'), 'deferred', 75, 'ready-server-busy'],
    [nextRemoved({ name: 'n', id: '1', image: 'i' }), 'deferred', 75, 'next-removed'],
    [nextStopped({ name: 'n', id: '1', image: 'i' }, 'state exited'), 'deferred', 75, 'next-stopped'],
    [new HoldError('ready-server-busy', 'nobody is active'), 'deferred', 75, 'ready-server-busy'],
    [new FlappingError({ sentence: 'in turn', until: 0 }), 'deferred', 75, 'flapping-requirement'],
    [new TryAgainLaterError('busy'), 'deferred', 75, 'try-again-later'],
    [new InterruptedError('SIGTERM'), 'deferred', 143, 'interrupted'],
    [new InterruptedError('SIGINT'), 'deferred', 130, 'interrupted'],
    [new CannotChangeError('no'), 'failed', 73, 'cannot-change'],
    [new EngineUnavailableError('away'), 'failed', 69, 'engine-unavailable'],
    [new TypeError('oops'), 'failed', 70, 'internal'],
  ])('%s is %s with %i and the cause %s', (error, state, exitCode, cause) => {
    expect(judgeError(error)).toMatchObject({ state, exitCode, cause });
    const judged = judgeTransaction(resultWith({ error, agent, agentRuns: true }));
    expect(judged).toMatchObject({ state, exitCode, cause });
    expect(judged.summary).toBe(
      `${error.message}; rancher-agent (rancher/agent:v1) was not touched and runs`,
    );
  });

  it('says that the agent was started again, if somebody else had stopped it', () => {
    const error = new NotReadyError('ready-script-no-bash', 'no bash');
    const judged = judgeTransaction(resultWith({ error, agent, agentRuns: true, restartedAgent: true }));
    expect(judged.summary).toBe(
      'no bash; rancher-agent (rancher/agent:v1) had been stopped by somebody else, was started again and runs',
    );
  });

  it('says that a host has no agent, if it has none', () => {
    const judged = judgeTransaction(resultWith({ error: new CannotChangeError('no'), touchedAgent: true }));
    expect(judged.summary).toBe('no; NO agent runs on this host');
  });

  it.each([
    ['restarts again and again', { restarts: true }],
    ['runs', { isIncumbent: false }],
  ])('never says "not touched" of a new agent or one in a crash loop: it %s', (words, parts) => {
    const error = new CannotChangeError('no');
    const judged = judgeTransaction(resultWith({ error, agent, agentRuns: true, ...parts }));
    expect(judged.summary).toBe(`no; rancher-agent (rancher/agent:v1) ${words}`);
  });

  it('is degraded, not ok, while a container stays; without a holder the hint is the runbook', () => {
    const unremovable = [{ id: 'c'.repeat(64), name: 'rancher-agent-previous', originalMessage: 'busy' }];
    const judged = judgeTransaction(resultWith({ reached: true, agent, agentRuns: true, unremovable }));
    expect(judged).toMatchObject({ state: 'degraded', exitCode: 73, originalMessage: 'busy', unremovable });
    expect(judged.summary).toContain('cannot be removed: rancher-agent-previous (cccccccccccc)');
    expect(judged.hint).toBe('see the runbook, "a container cannot be removed"');
  });
});

const reached = resultWith({ reached: true, agent, agentRuns: true, touchedAgent: true, isIncumbent: false });
const runs = 'rancher-agent runs (rancher/agent:v1)';
const asking = 'see why: docker logs --tail 50 rancher-agent, or the command doctor';

describe('an agent that runs is not one that serves: the state says what was observed', () => {
  it.each<[string, Serving, object]>([
    ['it serves', { kind: 'serves' }, { state: 'ok', exitCode: 0, summary: runs }],
    [
      'it has just begun: nothing speaks against it',
      { kind: 'starting', message: 'it has just begun' },
      { state: 'ok', exitCode: 0, summary: `${runs}; it has just begun` },
    ],
    [
      'it is not known, and what was asked is done',
      { kind: 'unknown', cause: 'serving-unknown', message: 'it was not asked' },
      {
        state: 'degraded',
        exitCode: 0,
        cause: 'serving-unknown',
        summary: `${runs}; it was not asked`,
        hint: asking,
      },
    ],
    [
      'its bootstrap holds no connection: nobody has asked for that',
      { kind: 'unknown', cause: 'agent-not-connected', message: 'it has not connected' },
      {
        state: 'degraded',
        exitCode: 73,
        cause: 'agent-not-connected',
        summary: `${runs}; it has not connected`,
        hint: asking,
      },
    ],
    [
      'it does not serve',
      { kind: 'not-serving', cause: 'bootstrap-fails', message: 'failed 3 times' },
      {
        state: 'degraded',
        exitCode: 73,
        cause: 'bootstrap-fails',
        summary: `${runs}; failed 3 times`,
        hint: asking,
      },
    ],
    [
      'it does not serve, and the check has a hint of its own',
      { kind: 'not-serving', cause: 'ready-curl-tls', message: 'no trust', hint: 'look at the certificate' },
      {
        state: 'degraded',
        exitCode: 73,
        cause: 'ready-curl-tls',
        summary: `${runs}; no trust`,
        hint: 'look at the certificate',
      },
    ],
    [
      'its keys are revoked: nothing but a registration helps, whatever the check said',
      { kind: 'not-serving', cause: 'keys-revoked', message: 'status 401', hint: 'another hint' },
      {
        state: 'failed',
        exitCode: 77,
        cause: 'keys-revoked',
        summary: `${runs}; status 401`,
        hint: 'register this host again, with the command of "Add Host"; then docker restart rancher-agent',
      },
    ],
  ])('%s', (_what, serving, outcome) => {
    expect(judgeTransaction(reached, serving)).toEqual(outcome);
  });

  const unremovable = [{ id: 'c'.repeat(64), name: 'rancher-agent-previous', originalMessage: 'busy' }];

  it('a container that cannot be removed stays the cause; what is known of serving is said too', () => {
    const serving: Serving = { kind: 'not-serving', cause: 'bootstrap-fails', message: 'failed 3 times' };
    const judged = judgeTransaction({ ...reached, unremovable }, serving);
    expect(judged).toMatchObject({ state: 'degraded', exitCode: 73, cause: 'cannot-remove', unremovable });
    expect(judged.summary).toMatch(/cannot be removed: rancher-agent-previous.*; failed 3 times$/);
  });

  it('revoked keys need a person more urgently than a container that cannot be removed', () => {
    const serving: Serving = { kind: 'not-serving', cause: 'keys-revoked', message: 'status 401' };
    const judged = judgeTransaction({ ...reached, unremovable }, serving);
    expect(judged).toMatchObject({ state: 'failed', exitCode: 77, cause: 'keys-revoked', unremovable });
  });

  it.each<Serving>([
    { kind: 'serves' },
    { kind: 'not-serving', cause: 'keys-revoked', message: 'status 401' },
    { kind: 'unknown', cause: 'serving-unknown', message: 'it was not asked' },
  ])('of an upgrade that failed, the failure is the state, whatever the old agent does (%j)', (serving) => {
    const error = new NotReadyError('ready-script-no-bash', 'no bash', { hint: 'use another image' });
    const judged = judgeTransaction(resultWith({ error, agent, agentRuns: true }), serving);
    expect(judged).toEqual({
      state: 'failed',
      exitCode: 73,
      cause: 'ready-script-no-bash',
      summary: 'no bash; rancher-agent (rancher/agent:v1) was not touched and runs',
      hint: 'use another image',
    });
  });
});
