import type { Engine, ImageDetails } from '../engine/engine.ts';
import { isEngineError } from '../engine/errors.ts';
import { CannotChangeError } from '../support/errors.ts';
import type { Log } from '../support/log.ts';

/** The image that an agent is to be made from. */
export interface Target {
  /** As the server or person named it. */
  readonly reference: string;
  readonly image: ImageDetails;
}

/**
 * Makes sure that the image is on this host: pulls it if it isn't. A failure costs nothing, the agent runs on.
 * @throws CannotChangeError with the registry's words
 */
export async function ensureImage(
  engine: Engine,
  reference: string,
  log: Log,
  signal: AbortSignal,
): Promise<Target> {
  const present = await engine.inspectImage(reference);
  if (present !== undefined) return { reference, image: present };
  log.info(`pulling ${reference}`);
  try {
    await engine.pullImage(reference, (text) => log.debug(text), signal);
  } catch (error) {
    if (!isEngineError(error)) throw error;
    throw new CannotChangeError(`the image ${reference} can't be pulled`, {
      said: error.said,
      hint: `try it by hand: docker pull ${reference}`,
      cause: error,
    });
  }
  const pulled = await engine.inspectImage(reference);
  if (pulled !== undefined) return { reference, image: pulled };
  throw new CannotChangeError(`the image ${reference} was pulled and is not there`, {
    hint: `try it by hand: docker pull ${reference}`,
  });
}
