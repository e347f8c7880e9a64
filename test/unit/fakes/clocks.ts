import type { Clock } from '../../../src/support/clock.ts';

/** When the time of a `SceneClock` began. */
export const startedAt = Date.UTC(2026, 0, 1);

/** The real time; the pauses between tries cost nothing. */
export const clockWithoutPauses: Clock = {
  now: Date.now,
  elapsed: Date.now,
  sleep: async () => Promise.resolve(),
  random: () => 0,
};

/** A sleep takes no real time. An action that is planned for a moment happens in the sleep that reaches that moment. */
export class SceneClock implements Clock {
  #elapsed = 1_000_000;
  #plans: { readonly at: number; readonly act: () => void | Promise<void> }[] = [];

  now(): number {
    return startedAt + this.#elapsed;
  }
  elapsed(): number {
    return this.#elapsed;
  }
  random(): number {
    return 0.5;
  }
  /** @param ms from now */
  after(ms: number, act: () => void | Promise<void>): void {
    this.#plans.push({ at: this.#elapsed + ms, act });
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#elapsed += ms;
    const due = this.#plans.filter(({ at }) => at <= this.#elapsed);
    this.#plans = this.#plans.filter(({ at }) => at > this.#elapsed);
    for (const { act } of due) await act();
    signal?.throwIfAborted();
  }
}
