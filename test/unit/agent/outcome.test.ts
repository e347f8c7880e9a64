import { describe, expect, it } from 'vitest';
import { judgeError, judgeTransaction } from '../../../src/agent/outcome.ts';
import { PingPongError } from '../../../src/agent/ping-pong.ts';
import type { TransactionResult } from '../../../src/agent/transaction.ts';
import { StorageLowError } from '../../../src/host/errors.ts';
import {
  CannotChangeError,
  EngineUnavailableError,
  InterruptedError,
  TryAgainLaterError,
} from '../../../src/support/errors.ts';

function resultWith(parts: Partial<TransactionResult>): TransactionResult {
  return {
    reached: false,
    agent: undefined,
    agentRuns: false,
    restarts: false,
    corpses: [],
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
    [new PingPongError({ sentence: 'in turn', until: 0 }), 'deferred', 75, 'ping-pong'],
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
    const corpses = [{ id: 'c'.repeat(64), name: 'rancher-agent-previous', said: 'busy' }];
    const judged = judgeTransaction(resultWith({ reached: true, agent, agentRuns: true, corpses }));
    expect(judged).toMatchObject({ state: 'degraded', exitCode: 73, said: 'busy', corpses });
    expect(judged.summary).toContain("can't be removed: rancher-agent-previous (cccccccccccc)");
    expect(judged.hint).toBe('see the runbook, "a container cannot be removed"');
  });
});
