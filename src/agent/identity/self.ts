import type { ContainerDetails, Engine } from '../../engine/engine.ts';
import { findOwnContainer } from '../../host/own-container.ts';
import { ConfigurationError } from '../../support/errors.ts';
import type { Configuration } from '../../support/configuration.ts';

/** The container that this process runs in, as the engine knows it; undefined outside of one. */
export async function inspectOwnContainer(
  engine: Engine,
  configuration: Configuration,
): Promise<ContainerDetails | undefined> {
  const candidates = await findOwnContainer(configuration.paths, configuration.hostname);
  for (const id of candidates) {
    const own = await engine.inspectContainer(id);
    if (own?.id.startsWith(id) === true) return own;
  }
  return undefined;
}

/**
 * The image that this entrypoint itself runs from, as it was named: of our own container, else `RANCHER_AGENT_IMAGE`
 * (contract §4).
 * @throws ConfigurationError when neither is known
 */
export function ownImageOf(own: ContainerDetails | undefined, configuration: Configuration): string {
  const image = own?.image ?? configuration.ownImage;
  if (image !== undefined) return image;
  throw new ConfigurationError('the image of this container is not known', {
    hint: 'run it as a container, or set RANCHER_AGENT_IMAGE to the name of the image',
  });
}

/**
 * The image for a worker: our own by its name, which people recognise, as long as that still means the image that we run
 * from; by its id when the name is gone or another image has it by now. The engine keeps the image of a container that
 * runs, whatever becomes of its names.
 */
export async function workerImageOf(
  engine: Pick<Engine, 'inspectImage'>,
  own: ContainerDetails | undefined,
  name: string,
): Promise<string> {
  if (own === undefined) return name;
  const named = await engine.inspectImage(name);
  return named?.id === own.imageId ? name : own.imageId;
}
