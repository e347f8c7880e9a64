import type { Engine, ImageDetails } from '../../engine/engine.ts';
import { isEngineError, isNoSpace, isOutage, noSpaceHint } from '../../engine/errors.ts';
import type { RegistryAuth } from '../../engine/registry-auth.ts';
import { StorageLowError } from '../../host/errors.ts';
import { deadlineIn, DeadlineError } from '../../support/deadline.ts';
import { CannotChangeError, EngineUnavailableError, messageOf } from '../../support/errors.ts';
import { doubling, retry } from '../../support/retry.ts';
import type { Host } from '../host.ts';

/** The image that an agent is to be created from. */
export interface Target {
  /** As the server or person named it. */
  readonly targetImage: string;
  readonly image: ImageDetails;
}

/** What is needed to get an image onto this host. */
export interface Pull extends Pick<Host, 'limits' | 'clock' | 'log' | 'signal'> {
  readonly engine: Pick<Engine, 'inspectImage' | 'pullImage'>;
  /** Finds the credentials for the registry, if there are any. */
  readonly login?: () => Promise<RegistryAuth | undefined>;
}

/**
 * Makes sure that the image is on this host: pulls it if it is not. If the pull fails, the agent keeps running.
 * @throws CannotChangeError with the registry's message; StorageLowError when the image does not fit
 */
export async function ensureImage(pull: Pull, targetImage: string): Promise<Target> {
  const { engine, log } = pull;
  const present = await engine.inspectImage(targetImage);
  if (present !== undefined) return { targetImage, image: present };
  const auth = await pull.login?.();
  log.info(`pulling ${targetImage}`, auth === undefined ? {} : { credentials: auth.serveraddress });
  try {
    await pullPatiently(pull, targetImage, auth);
  } catch (error) {
    throw asOutcome(error, targetImage);
  }
  const pulled = await engine.inspectImage(targetImage);
  if (pulled !== undefined) return { targetImage, image: pulled };
  throw new CannotChangeError(`the image ${targetImage} was pulled and is not there`, {
    hint: hintFor(targetImage),
  });
}

/** A pull may be started again at any time: the engine keeps the layers that it has already pulled. */
async function pullPatiently(pull: Pull, targetImage: string, auth: RegistryAuth | undefined): Promise<void> {
  const { engine, limits, clock, log, signal } = pull;
  const deadline = deadlineIn(limits.PULL_TOTAL, clock);
  const onProgress = (text: string): void => log.debug(text);
  await retry(
    {
      what: `pull ${targetImage}`,
      tries: limits.CALL_TRIES,
      pause: doubling(limits.CALL_PAUSE, limits.CALL_PAUSE_MAX),
      total: limits.PULL_TOTAL,
      worthRetrying: isOutage,
      clock,
      log,
      signal,
    },
    async () =>
      engine.pullImage(targetImage, { onProgress, auth, signal, totalMs: Math.max(1, deadline.left()) }),
  );
}

/**
 * An engine that cannot be reached keeps its error. An engine that waits in vain for a registry has the same error with
 * another cause.
 */
function asOutcome(error: unknown, targetImage: string): unknown {
  const isHung = error instanceof EngineUnavailableError && error.cause instanceof DeadlineError;
  if (!isEngineError(error) && !isHung) return error;
  const details = {
    originalMessage: isEngineError(error) ? error.originalMessage : messageOf(error.cause),
    cause: error,
  };
  if (isNoSpace(details.originalMessage)) {
    return new StorageLowError(`the storage of this host is low: the image ${targetImage} does not fit`, {
      ...details,
      hint: noSpaceHint,
    });
  }
  return new CannotChangeError(`the image ${targetImage} cannot be pulled`, {
    ...details,
    hint: hintFor(targetImage),
  });
}

function hintFor(targetImage: string): string {
  return `try it by hand: docker pull ${targetImage}`;
}
