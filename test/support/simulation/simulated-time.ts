import type { Clock } from '../../../src/support/clock.ts';

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

/** Time that passes only while every task sleeps. */
export class SimulatedTime {
  now = 0;
  readonly #sleepers = new Set<Sleeper>();

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const end = (reconcile: () => void): void => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', onAbort);
        reconcile();
      };
      const onAbort = (): void => {
        end(() => {
          reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
        });
      };
      const sleeper = {
        at: this.now + ms,
        wake: () => {
          end(resolve);
        },
      };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Wakes the sleeping tasks, in the order of their times, up to a point in time. */
  async passUntil(end: number): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      let next = Infinity;
      for (const { at } of this.#sleepers) next = Math.min(next, at);
      if (next > end) break;
      this.now = next;
      for (const sleeper of [...this.#sleepers]) if (sleeper.at === next) sleeper.wake();
    }
    this.now = end;
  }

  /** A clock for one host, with its own random numbers. */
  clockOf(host: number): Clock {
    const random = seeded(host);
    return {
      now: () => this.now,
      elapsed: () => this.now,
      sleep: async (ms, signal) => this.sleep(ms, signal),
      random,
    };
  }
}

/** mulberry32: the same numbers for the same seed. */
function seeded(seed: number): () => number {
  let state = seed * 0x9e37_79b9;
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
