import { flappingEndsAt, type TargetChange } from '../../host/files/attempts.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { TryAgainLaterError } from '../../support/errors.ts';

/** An image that is required alternately with others. */
export interface Flapping {
  /** What happened, with images and times. */
  readonly sentence: string;
  /** When the image may be used again, if the requirement does not change before that; milliseconds since 1970. */
  readonly until: number;
}

/** What a person can do about it; the present agent keeps running meanwhile. */
export const flappingHint =
  'two servers behind one address, or two people, want different agents: have all of them require the same image ' +
  '(servers of one version, one bootstrap.required.image setting)';

/** Two servers require different images: to follow both would replace the agent again and again, for ever. */
export class FlappingError extends TryAgainLaterError {
  override readonly code = 'flapping-requirement';

  constructor(flapping: Flapping) {
    super(flapping.sentence, { hint: flappingHint });
  }
}

/**
 * Whether an image is required again that was replaced by others more than once: the agent does not change to it. Only
 * images that the agent changed to are remembered, so the list becomes empty, and the flapping stops, without any action.
 */
export function findFlapping(
  history: readonly TargetChange[],
  targetImage: string,
  limits: Limits,
  now: number,
): Flapping | undefined {
  const until = flappingEndsAt(history, targetImage, limits, now);
  if (until === undefined) return undefined;
  const shown = history.slice(-(2 * limits.FLAPPING_RETURNS + 1));
  const changes = shown.map((change) => `${change.image} at ${timeOf(change.at)}`).join(', ');
  const sentence = `flapping requirement: the images alternate (${changes}); ignoring ${targetImage} until ${timeOf(until)}`;
  return { sentence, until };
}

/** Whether none of the images that were recently required on this host would be refused now. */
export function isCalm(history: readonly TargetChange[], own: string, limits: Limits, now: number): boolean {
  return history.every(
    ({ image }) => image === own || flappingEndsAt(history, image, limits, now) === undefined,
  );
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
