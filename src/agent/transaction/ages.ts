import type { Clock } from '../../support/clock.ts';
import type { Observation, Observed } from './observe.ts';

/**
 * How long containers have run, for a transaction that looks at them again and again. The engine knows when they started by the
 * wall clock: where that is set forward in between, an agent that has just been started would count as proven; set back, it
 * would be too young for hours. So the wall clock is believed at the first look alone. From then on the clock that nobody sets
 * counts: what was seen before is older by the time that has passed, and what has started since is no older than that time.
 */
export class Ages {
  readonly #clock: Pick<Clock, 'elapsed'>;
  readonly #known = new Map<string, { readonly age: number; readonly at: number }>();
  #lastLook: number | undefined;

  constructor(clock: Pick<Clock, 'elapsed'>) {
    this.#clock = clock;
  }

  /** The observation with times of start that are as far from its `now` as they really are. */
  correct(observation: Observation): Observation {
    const { agent, legacy, next, besideNext, previous, now } = observation;
    const at = this.#clock.elapsed();
    const correct = <T extends Observed | undefined>(observed: T): T =>
      observed?.startedAt === undefined
        ? observed
        : { ...observed, startedAt: now - this.#ageOf(observed.id, observed.startedAt, now, at) };
    const corrected = {
      ...observation,
      agent: correct(agent),
      legacy: legacy.map(correct),
      next: correct(next),
      ...(besideNext === undefined ? {} : { besideNext: correct(besideNext) }),
      previous: previous.map(correct),
    };
    this.#lastLook = at;
    return corrected;
  }

  #ageOf(id: string, startedAt: number, now: number, at: number): number {
    const key = `${id} ${startedAt}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known.age + (at - known.at);
    const sinceLastLook = this.#lastLook === undefined ? Number.POSITIVE_INFINITY : at - this.#lastLook;
    const age = Math.min(Math.max(0, now - startedAt), sinceLastLook);
    this.#known.set(key, { age, at });
    return age;
  }
}
