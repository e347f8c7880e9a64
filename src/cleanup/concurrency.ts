import type { Limits } from '../support/limits/limits.ts';

/**
 * How many removals go on at a time: one more for each round that was quick, half as many as soon as one was slow
 * (additive increase, multiplicative decrease, as TCP does it; and as there, twice as many each round until the first
 * slow one). An engine that is well gets to the bound at once; one that is sick stays at one. What counts as slow follows
 * the quickest removal seen on this host, between two bounds.
 */
export class Pace {
  readonly #limits: Limits;
  readonly #most: number;
  #parallel = 1;
  /** Quick ones since the number changed. */
  #quick = 0;
  /** Removals still to end that were begun at an earlier number: they say nothing about the present one. */
  #stale = 0;
  #quickest = Number.POSITIVE_INFINITY;
  #held = false;
  #hasBeenSlow = false;

  /** @param most never more than this at a time, e.g. 1 on a storage that is low */
  constructor(limits: Limits, most: number = limits.CLEANUP_PARALLEL) {
    this.#limits = limits;
    this.#most = Math.max(1, Math.min(most, limits.CLEANUP_PARALLEL));
  }

  /** Removals that may go on at a time now. */
  get parallel(): number {
    return this.#held ? 1 : this.#parallel;
  }

  /** One at a time while somebody else needs the engine more. */
  hold(held: boolean): void {
    this.#held = held;
  }

  /** A removal took this many ms, whatever came out. */
  took(ms: number): void {
    this.#quickest = Math.min(this.#quickest, ms);
    if (this.#stale > 0) {
      this.#stale -= 1;
      return;
    }
    if (ms > this.#slowFrom()) {
      this.#slowDown();
      return;
    }
    this.#quick += 1;
    if (this.#quick < this.#parallel) return;
    this.#quick = 0;
    this.#parallel = Math.min(this.#most, this.#hasBeenSlow ? this.#parallel + 1 : this.#parallel * 2);
  }

  /** The engine did not answer. */
  unanswered(): void {
    this.#hasBeenSlow = true;
    this.#parallel = 1;
    this.#quick = 0;
    this.#stale = 0;
  }

  #slowFrom(): number {
    const { CLEANUP_SLOW_FROM, CLEANUP_SLOW, CLEANUP_SLOWDOWN } = this.#limits;
    return Math.min(CLEANUP_SLOW, Math.max(CLEANUP_SLOW_FROM, this.#quickest * CLEANUP_SLOWDOWN));
  }

  #slowDown(): void {
    this.#hasBeenSlow = true;
    this.#stale = this.#parallel - 1;
    this.#parallel = Math.max(1, Math.floor(this.#parallel / 2));
    this.#quick = 0;
  }
}
