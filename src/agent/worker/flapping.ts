import { flappingEndsAt, type TargetChange } from '../../host/files/attempts.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { TryAgainLaterError } from '../../support/errors.ts';

/** An image that is required alternately with others. */
export interface Flapping {
  /** What happened, with images and times. */
  readonly sentence: string;
  /** When it may be followed again, if nobody changes their mind until then; milliseconds since 1970. */
  readonly until: number;
}

/** What a person can do about it; the agent that is there runs meanwhile. */
export const flappingHint =
  'two servers behind one address, or two people, want different agents: have all of them require the same image ' +
  '(servers of one version, one bootstrap.required.image setting)';

/** Two servers want different images: following them alternately would replace the agent for ever. */
export class FlappingError extends TryAgainLaterError {
  override readonly code = 'flapping-requirement';

  constructor(flapping: Flapping) {
    super(flapping.sentence, { hint: flappingHint });
  }
}

/**
 * Whether an image is wanted again that was given up for others more than once: such a target is not followed. Only
 * targets that were followed are remembered, so that the window empties, and the flapping ends, without anybody's help.
 */
export function findFlapping(
  history: readonly TargetChange[],
  targetImage: string,
  limits: Limits,
  now: number,
): Flapping | undefined {
  const until = flappingEndsAt(history, targetImage, limits, now);
  if (until === undefined) return undefined;
  const told = history.slice(-(2 * limits.FLAPPING_RETURNS + 1));
  const changes = told.map((change) => `${change.image} at ${timeOf(change.at)}`).join(', ');
  const sentence = `flapping requirement: the images alternate (${changes}); ignoring ${targetImage} until ${timeOf(until)}`;
  return { sentence, until };
}

/** Whether none of the images that this host was sent to recently would be refused now. */
export function isCalm(history: readonly TargetChange[], own: string, limits: Limits, now: number): boolean {
  return history.every(
    ({ image }) => image === own || flappingEndsAt(history, image, limits, now) === undefined,
  );
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
