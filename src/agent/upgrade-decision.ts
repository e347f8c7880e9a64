import type { RequiredImage } from '../control-plane/required-image.ts';
import type { Engine } from '../engine/engine.ts';
import type { Log } from '../support/log.ts';

/** The image an agent runs from. */
export interface OwnImage {
  /** As it was named. */
  readonly image: string;
  readonly imageId: string | undefined;
}

/**
 * Decides on an upgrade in the place of the server's script, which compares names only: behind a registry mirror, with
 * a digest or another tag of the very same image, its comparison can never be satisfied (incident, why 8).
 * @returns the image to upgrade to, or undefined
 */
export async function decideUpgrade(
  engine: Engine,
  required: RequiredImage,
  own: OwnImage,
  log: Log,
): Promise<string | undefined> {
  if (required.kind === 'unclear') log.warn(`no upgrade: REQUIRED_IMAGE is unclear: ${required.reason}`);
  if (required.kind !== 'image' || required.image === own.image) return undefined;
  const present = await engine.inspectImage(required.image);
  if (present !== undefined && present.id === own.imageId) {
    log.debug(`${required.image} is another name of the image that runs`);
    return undefined;
  }
  log.info(`the server requires ${required.image}, this is ${own.image}: upgrading`);
  return required.image;
}
