import type { Clock } from '../../support/clock.ts';
import type { Observation, Observed } from './observe.ts';

/**
 * How long containers have run, for a transaction that observes them again and again. The engine reports start times by the
 * wall clock. If somebody sets that clock forward meanwhile, an agent that has just started would count as proven; if
 * somebody sets it back, the agent would be too young for hours. So the wall clock counts only at the first observation.
 * From then on the monotonic clock counts: a container that was seen before is older by the time that has passed, and one
 * that started since is not older than that time.
 */
export class Ages {
  readonly #clock: Pick<Clock, 'elapsed'>;
  readonly #known = new Map<string, { readonly age: number; readonly at: number }>();
  #lastLook: number | undefined;

  constructor(clock: Pick<Clock, 'elapsed'>) {
    this.#clock = clock;
  }

  /** The observation with corrected start times: each one is as far before `now` as it really is. */
  correct(observation: Observation): Observation {
    const { agent, legacy, next, nexts, previous, now } = observation;
    const at = this.#clock.elapsed();
    const correct = <T extends Observed | undefined>(observed: T): T =>
      observed?.startedAt === undefined
        ? observed
        : { ...observed, startedAt: now - this.#ageOf(observed.id, observed.startedAt, now, at) };
    const correctedNexts = nexts.map(correct);
    const corrected = {
      ...observation,
      agent: correct(agent),
      legacy: legacy.map(correct),
      next: next === undefined ? undefined : correctedNexts[nexts.indexOf(next)],
      nexts: correctedNexts,
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
