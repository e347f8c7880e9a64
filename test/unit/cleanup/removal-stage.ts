import { beforeEach } from 'vitest';
import { Concurrency } from '../../../src/cleanup/concurrency.ts';
import { removeMany } from '../../../src/cleanup/remove-many.ts';
import {
  cleanupRules,
  type Patience,
  type Removal,
  type RemovalProgress,
  type RemovalSummary,
} from '../../../src/cleanup/removal.ts';
import type { Suspect } from '../../../src/cleanup/leaks.ts';
import type { RemovalResult } from '../../../src/cleanup/remove.ts';
import type { Clock } from '../../../src/support/clock.ts';
import { DeadlineError } from '../../../src/support/deadline.ts';
import { EngineUnavailableError } from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { leakedSummary } from '../fakes/leaked.ts';

/* A cleanup whose removals end as a script says, in time of its own. */

export const removed: RemovalResult = { kind: 'removed' };
export const busy: RemovalResult = { kind: 'failed', originalMessage: 'device or resource busy' };
export const immutable: RemovalResult = { kind: 'failed', originalMessage: 'operation not permitted' };
export const refused: RemovalResult = unanswered(new Error('ECONNREFUSED'));
export const late: RemovalResult = unanswered(new DeadlineError('remove', 1));

export function unanswered(cause: Error): RemovalResult {
  return {
    kind: 'unanswered',
    originalMessage: cause.message,
    error: new EngineUnavailableError('remove', { cause }),
  };
}

export let stop: AbortController;
export let time: number;
/** Ids in the order in which their removal began. */
export let tried: string[];
export let progress: RemovalProgress[];
export let inProgress: number;
export let mostInProgress: number;

export function stageRemovals(): void {
  beforeEach(() => {
    stop = new AbortController();
    time = 0;
    tried = [];
    progress = [];
    inProgress = 0;
    mostInProgress = 0;
  });
}

/** Time passes while somebody sleeps; a sleep ends when its signal says so. */
export const clock: Clock = {
  now: () => time,
  elapsed: () => time,
  async sleep(ms, signal) {
    signal?.throwIfAborted();
    time += ms;
    return new Promise((resolve, reject) => {
      setTimeout(resolve, 5);
      signal?.addEventListener('abort', () => {
        reject(new Error('woken'));
      });
    });
  },
  random: () => 0.5,
};

/** The result for each, try for try; `removed` where it names none. */
export type Script = Readonly<Record<string, readonly (RemovalResult | (() => Promise<RemovalResult>))[]>>;

export async function run(
  ids: readonly string[],
  script: Script = {},
  parts: Omit<Partial<Removal>, 'limits' | 'patience'> & {
    limits?: object;
    patience?: Partial<Patience>;
  } = {},
): Promise<RemovalSummary> {
  const limits = { ...defaultLimits, ...parts.limits };
  const tries = new Map<string, number>();
  const remove = async ({ container: { id } }: Suspect): Promise<RemovalResult> => {
    tried.push(id);
    inProgress += 1;
    mostInProgress = Math.max(mostInProgress, inProgress);
    const count = tries.get(id) ?? 0;
    tries.set(id, count + 1);
    await new Promise((resolve) => setImmediate(resolve));
    time += 10;
    const result = script[id]?.[count] ?? script[id]?.at(-1) ?? removed;
    try {
      return typeof result === 'function' ? await result() : result;
    } finally {
      inProgress -= 1;
    }
  };
  return removeMany({
    suspects: ids.map((id) => ({ kind: 'inspect-host', container: leakedSummary({ id }) })),
    remove,
    rules: cleanupRules(limits),
    clock,
    concurrency: new Concurrency(limits),
    signal: stop.signal,
    onProgress: (now) => progress.push(now),
    ...parts,
    patience: {
      abandon: () => undefined,
      probe: async () => Promise.resolve(),
      isWorkerRunning: async () => Promise.resolve(false),
      hasRoom: async () => Promise.resolve(true),
      ...parts.patience,
    },
    limits,
  });
}

export const many = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `c${index}`);
