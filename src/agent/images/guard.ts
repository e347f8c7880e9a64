import { readHostSetting } from '../../control-plane/agent-conf.ts';
import { imagesAllowedVariable, type Configuration, type Environment } from '../../support/configuration.ts';
import { ConfigurationError, ImageNotAllowedError } from '../../support/errors.ts';
import type { Target } from '../worker/pull-image.ts';
import { isImageAllowed, judgeName, parseImagesAllowed, type ImagePolicy } from './allowed.ts';

/** Refuses images that the host does not allow for its agent. */
export interface ImageGuard {
  /** Before a pull. @throws ImageNotAllowedError when the name is enough to refuse it */
  requireName(targetImage: string): void;
  /** Before anything is created. @throws ImageNotAllowedError */
  requireImage(target: Target): void;
}

/** A policy, and where it stands. */
interface PlacedPolicy {
  readonly policy: ImagePolicy;
  readonly place: string;
}

/**
 * The guard of this host. `AGENT_IMAGES_ALLOWED` in `agent.conf` decides alone. Without it, the environments of the command
 * and of the present agent count, and both must allow the image.
 * @throws ConfigurationError when a value is not understood: no image is allowed then
 */
export async function createImageGuard(
  { configuration }: { readonly configuration: Pick<Configuration, 'paths' | 'environment'> },
  present: Environment,
): Promise<ImageGuard> {
  const placed = await readPolicies(configuration, present);
  for (const { policy, place } of placed) {
    if (policy.kind === 'malformed') throw notUnderstood(place, policy.problem);
  }
  return {
    requireName: (targetImage) => {
      for (const each of placed)
        if (judgeName(each.policy, targetImage) === 'refused') throw notAllowed(each, targetImage);
    },
    requireImage: ({ targetImage, image }) => {
      for (const each of placed)
        if (!isImageAllowed(each.policy, targetImage, image))
          throw notAllowed(each, targetImage, [image.id, ...image.repoDigests]);
    },
  };
}

async function readPolicies(
  { paths, environment }: Pick<Configuration, 'paths' | 'environment'>,
  present: Environment,
): Promise<readonly PlacedPolicy[]> {
  const file = `${paths.rancher}/etc/agent.conf`;
  const setting = await readHostSetting(file, imagesAllowedVariable);
  if (setting.kind === 'unclear') throw notUnderstood('agent.conf', setting.problem);
  if (setting.kind === 'value') return [{ place: 'agent.conf', policy: parseImagesAllowed(setting.value) }];
  const given = environment[imagesAllowedVariable];
  const agents = present[imagesAllowedVariable];
  return [
    { place: 'the environment of this command', policy: parseImagesAllowed(given) },
    ...(agents === given
      ? []
      : [{ place: 'the environment of the agent', policy: parseImagesAllowed(agents) }]),
  ];
}

function notUnderstood(place: string, problem: string): ConfigurationError {
  return new ConfigurationError(
    `no image is allowed, because ${imagesAllowedVariable} in ${place} is not understood: ${problem}`,
    { hint: 'nothing was touched; correct the value, or remove the line to allow every image' },
  );
}

function notAllowed(
  { policy, place }: PlacedPolicy,
  targetImage: string,
  digests: readonly string[] = [],
): ImageNotAllowedError {
  const rules = policy.kind === 'rules' ? policy.text : '';
  const found = digests.length === 0 ? '' : ` (${digests.join(', ')})`;
  return new ImageNotAllowedError(
    `the image ${targetImage}${found} is not allowed on this host: ${imagesAllowedVariable} in ${place} is ${rules}`,
    {
      hint: `nothing was touched; have the server require an allowed image, or add this one to ${imagesAllowedVariable}`,
    },
  );
}
