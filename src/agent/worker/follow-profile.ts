import { profileNames, type Environment, type ProfileName } from '../../support/configuration.ts';
import { selectProfile } from '../identity/profile.ts';
import { namesOf, type RoleNames } from '../identity/roles.ts';
import type { Target } from './pull-image.ts';
import type { Work } from './session.ts';

/**
 * Uses the profile of the required image for the work. A server that is upgraded by many versions may require an image of
 * another profile. The legacy entrypoint's upgrade ran in that image, so it created the agent in that image's way; this
 * entrypoint does the same.
 *
 * If the other profile does not know the name of the present agent, that agent would be left beside the new one. Then the
 * profile is not changed.
 */
export function followProfile(work: Work, target: Target): Work {
  const name = profileOfImage(target);
  if (name === undefined || name === work.profile.name) return work;
  const profile = selectProfile(name, work.configuration.environment);
  if (![profile.agentName, ...profile.legacyAgentNames].includes(work.names.agent)) return work;
  work.log.info(
    `${target.targetImage} is an image of the profile ${name}, this one has the profile ${work.profile.name}`,
  );
  return { ...work, profile, names: namesOf(profile) };
}

/**
 * The profile of an image, from its own environment. A legacy image does not name it; for that one the official image name
 * counts, after any prefix of a mirror. Undefined if neither shows it.
 */
export function profileOfImage({ targetImage, image }: Target): ProfileName | undefined {
  const own = image.environment?.['AGENT_PROFILE'];
  if (own !== undefined) return profileNames.find((name) => name === own);
  if (/(^|\/)pasturestack\/node-agent([:@]|$)/.test(targetImage)) return 'pasturestack';
  const version = /(?:^|\/)rancher\/agent:v1\.(\d+)/.exec(targetImage)?.[1];
  if (version === undefined) return undefined;
  return version === '0' ? 'rancher-1.0' : 'rancher-1.2';
}

/**
 * The names of workers on a host, for all profiles: the worker that created an agent of another profile had a name of the
 * old profile.
 */
export function workerNames(own: RoleNames, environment: Environment): readonly string[] {
  const all = profileNames.flatMap((name) => namesOf(selectProfile(name, environment)).workers);
  return [...new Set([...own.workers, ...all])];
}
