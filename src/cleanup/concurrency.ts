import type { Limits } from '../support/limits/limits.ts';

/**
 * How many removals run at a time: one more after each fast round, half as many as soon as one was slow (additive increase,
 * multiplicative decrease, as in TCP; also as in TCP, twice as many after each round until the first slow one). A healthy
 * engine reaches the limit at once; an overloaded one stays at one. The fastest removal seen on this host decides what
 * counts as slow, between two limits.
 */
export class Concurrency {
  readonly #limits: Limits;
  #most: number;
  #parallel = 1;
  /** Fast ones since the number changed. */
  #fast = 0;
  /** Removals still in progress that began at an earlier number: they prove nothing about the present one. */
  #stale = 0;
  #fastest = Number.POSITIVE_INFINITY;
  #held = false;
  #hasBeenSlow = false;

  /** @param most never more than this at a time, e.g. 1 on a storage that is low */
  constructor(limits: Limits, most: number = limits.CLEANUP_PARALLEL) {
    this.#limits = limits;
    this.#most = Math.max(1, Math.min(most, limits.CLEANUP_PARALLEL));
  }

  /** Whether fewer removals may run at a time than the limit, because the storage is low. */
  get isNarrow(): boolean {
    return this.#most < this.#limits.CLEANUP_PARALLEL;
  }

  /** The storage has room now: as many as the limit. */
  widen(): void {
    this.#most = Math.max(1, this.#limits.CLEANUP_PARALLEL);
  }

  /** Removals that may run at a time now. */
  get parallel(): number {
    return this.#held ? 1 : this.#parallel;
  }

  /** One at a time while a worker needs the engine more. */
  hold(held: boolean): void {
    this.#held = held;
  }

  /** A removal took this many ms, whatever its result. */
  took(ms: number): void {
    this.#fastest = Math.min(this.#fastest, ms);
    if (this.#stale > 0) {
      this.#stale -= 1;
      return;
    }
    if (ms > this.#slowFrom()) {
      this.#slowDown();
      return;
    }
    this.#fast += 1;
    if (this.#fast < this.#parallel) return;
    this.#fast = 0;
    this.#parallel = Math.min(this.#most, this.#hasBeenSlow ? this.#parallel + 1 : this.#parallel * 2);
  }

  /** The engine did not answer. */
  unanswered(): void {
    this.#hasBeenSlow = true;
    this.#parallel = 1;
    this.#fast = 0;
    this.#stale = 0;
  }

  #slowFrom(): number {
    const { CLEANUP_SLOW_FROM, CLEANUP_SLOW, CLEANUP_SLOWDOWN } = this.#limits;
    return Math.min(CLEANUP_SLOW, Math.max(CLEANUP_SLOW_FROM, this.#fastest * CLEANUP_SLOWDOWN));
  }

  #slowDown(): void {
    this.#hasBeenSlow = true;
    this.#stale = this.#parallel - 1;
    this.#parallel = Math.max(1, Math.floor(this.#parallel / 2));
    this.#fast = 0;
  }
}
