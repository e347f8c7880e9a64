import { pingPongEndsAt, type TargetChange } from '../../host/files/attempts.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { TryAgainLaterError } from '../../support/errors.ts';

/** An image that is asked for in turn with others. */
export interface Quarrel {
  /** What happened, with images and times. */
  readonly sentence: string;
  /** When it may be followed again, if nobody changes their mind until then; milliseconds since 1970. */
  readonly until: number;
}

/** What a person can do about it; the agent that is there runs meanwhile. */
export const quarrelHint =
  'two servers behind one address, or two people, want different agents: have all of them require the same image ' +
  '(servers of one version, one bootstrap.required.image setting)';

/** Two servers want different images: following them in turn would replace the agent for ever. */
export class PingPongError extends TryAgainLaterError {
  override readonly code = 'ping-pong';

  constructor(quarrel: Quarrel) {
    super(quarrel.sentence, { hint: quarrelHint });
  }
}

/**
 * Whether an image is wanted again that was given up for others more than once: such a target is not followed. Only
 * targets that were followed are remembered, so that the window empties, and the quarrel ends, by itself.
 */
export function findQuarrel(
  history: readonly TargetChange[],
  image: string,
  limits: Limits,
  now: number,
): Quarrel | undefined {
  const until = pingPongEndsAt(history, image, limits, now);
  if (until === undefined) return undefined;
  const told = history.slice(-(2 * limits.PING_PONG_RETURNS + 1));
  const changes = told.map((change) => `${change.image} at ${timeOf(change.at)}`).join(', ');
  const sentence =
    `different images are required in turn: ${changes}, and now ${image} again, ` +
    `which is not followed before ${timeOf(until)}`;
  return { sentence, until };
}

/** Whether none of the images that this host was sent to of late would be refused now. */
export function isCalm(history: readonly TargetChange[], own: string, limits: Limits, now: number): boolean {
  return history.every(
    ({ image }) => image === own || pingPongEndsAt(history, image, limits, now) === undefined,
  );
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}
