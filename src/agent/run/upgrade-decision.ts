import type { BootstrapScript } from '../../control-plane/bootstrap.ts';
import type { RequiredImage } from '../../control-plane/required-image.ts';
import type { Engine } from '../../engine/engine.ts';
import { ExitCode } from '../../support/errors.ts';
import { lookUpAttempts } from '../../host/files/attempts.ts';
import { findFlapping, isCalm, flappingHint, type Flapping } from '../worker/flapping.ts';
import type { Host } from '../host.ts';
import type { Reporter } from '../report/reporter.ts';
import { isUnfinishedUpgrade } from './serving/state.ts';
import type { ServingTracker } from './serving/tracker.ts';

/** The image an agent runs from. */
export interface OwnImage {
  /** As it was named. */
  readonly image: string;
  readonly imageId: string | undefined;
}

/** What a decision needs. */
export interface DecisionParts extends Pick<Host, 'paths' | 'limits' | 'clock' | 'log'> {
  readonly engine: Pick<Engine, 'inspectImage'>;
  readonly reporter: Reporter;
  /** Of the active agent: takes a failure back when, or as soon as, the agent serves. */
  readonly serving?: Pick<ServingTracker, 'failureIsOver'>;
}

/** What is to be done about the image that a server requires. */
export type UpgradeDecision =
  | { readonly do: 'upgrade'; readonly targetImage: string }
  /** It is reached, or none that is known is required. */
  | { readonly do: 'nothing' }
  /** It is not followed before then; milliseconds since 1970. */
  | { readonly do: 'wait'; readonly until: number };

const nothing: UpgradeDecision = { do: 'nothing' };

/** The cause in the status file while servers require different images alternately. */
const flappingCause = 'flapping-requirement';

/**
 * Decides on an upgrade in the place of the server's script, which compares names only: behind a registry mirror, with
 * a digest or another tag of the very same image, its comparison can never be satisfied (incident §2.8). Servers that
 * require different images alternately are not followed either: no worker is created for them at all.
 */
export async function decideUpgrade(
  parts: DecisionParts,
  required: RequiredImage,
  own: OwnImage,
): Promise<UpgradeDecision> {
  const { limits, clock, log } = parts;
  if (required.kind === 'unclear') log.warn(`no upgrade: REQUIRED_IMAGE is unclear: ${required.reason}`);
  if (required.kind !== 'image') return nothing;
  const { image: targetImage } = required;
  const { history } = await lookUpAttempts(parts);
  if (await isReached(parts, targetImage, own)) {
    await tellAgreement(parts, targetImage, isCalm(history, targetImage, limits, clock.now()));
    return nothing;
  }
  const flapping = findFlapping(history, targetImage, limits, clock.now());
  if (flapping !== undefined) {
    await reportFlapping(parts, flapping, own);
    return { do: 'wait', until: flapping.until };
  }
  log.info(`the server requires ${targetImage}, this is ${own.image}: upgrading`);
  return { do: 'upgrade', targetImage };
}

/**
 * What a server's script requires of an agent of that image. PastureStack's, known by the names it uses, never upgrades
 * agents of Rancher's own image, whatever it requires of others (control-plane §8).
 */
export function requirementOf({ script, requiredImage }: BootstrapScript, ownImage: string): RequiredImage {
  const isSpared =
    script.includes('pasturestack-node-agent') && /^(docker\.io\/)?rancher\/agent(:|$)/.test(ownImage);
  return isSpared ? { kind: 'none' } : requiredImage;
}

async function isReached({ engine, log }: DecisionParts, image: string, own: OwnImage): Promise<boolean> {
  if (image === own.image) return true;
  const present = await engine.inspectImage(image);
  if (present === undefined || present.id !== own.imageId) return false;
  log.debug(`${image} is another name of the image that runs`);
  return true;
}

/** A state that needs a person more urgently is not covered up. */
async function reportFlapping(
  { reporter, log }: DecisionParts,
  { sentence, until }: Flapping,
  own: OwnImage,
): Promise<void> {
  const before = await reporter.readBefore();
  const summary = `${sentence}; the agent (${own.image}) keeps running`;
  if (before?.state === 'failed' || before?.state === 'degraded') {
    log.warn(`${summary}; what to do: ${flappingHint}`);
    return;
  }
  await reporter.ended({
    state: 'deferred',
    exitCode: ExitCode.tryAgainLater,
    summary,
    cause: flappingCause,
    hint: flappingHint,
    nextAttemptAt: new Date(until).toISOString(),
  });
}

/**
 * What was wrong with another image is no matter any more: the correction of a typo in the setting clears the failed upgrade on
 * every host. But an agent that does not serve is never called `ok`.
 */
async function tellAgreement(
  { reporter, serving }: DecisionParts,
  image: string,
  isFlappingOver: boolean,
): Promise<void> {
  const before = await reporter.readBefore();
  if (before === undefined) return;
  const summary = `the server requires the image that runs, ${image}, and no other any more`;
  if (before.cause !== flappingCause) {
    if (isUnfinishedUpgrade(before)) serving?.failureIsOver(before, summary);
    return;
  }
  if (isFlappingOver) await reporter.ended({ state: 'ok', exitCode: ExitCode.ok, summary });
}
