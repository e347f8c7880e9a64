import { profileNames, type Environment, type ProfileName } from '../../support/configuration.ts';
import { selectProfile } from '../identity/profile.ts';
import { namesOf, type RoleNames } from '../identity/roles.ts';
import type { Target } from './pull-image.ts';
import type { Work } from './session.ts';

/**
 * The work with the profile of the image that is wanted: a server that goes from one version to a much later one requires an
 * image of another profile, and the legacy entrypoint's upgrade, which ran in that image, made the agent as that one's does.
 *
 * An agent whose name the other profile does not know would be left beside the new one: then the work stays as it is.
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
 * The profile of an image: its own word. One of another entrypoint has none; there the official names, behind any mirror's
 * prefix, are as good. Undefined where neither says anything.
 */
export function profileOfImage({ targetImage, image }: Target): ProfileName | undefined {
  const told = image.environment?.['AGENT_PROFILE'];
  if (told !== undefined) return profileNames.find((name) => name === told);
  if (/(^|\/)pasturestack\/node-agent([:@]|$)/.test(targetImage)) return 'pasturestack';
  const version = /(?:^|\/)rancher\/agent:v1\.(\d+)/.exec(targetImage)?.[1];
  if (version === undefined) return undefined;
  return version === '0' ? 'rancher-1.0' : 'rancher-1.2';
}

/**
 * The names of workers on a host whose agent has any profile: the one that created an agent of another profile had the
 * name of the old one's.
 */
export function workerNames(own: RoleNames, environment: Environment): readonly string[] {
  const all = profileNames.map((name) => namesOf(selectProfile(name, environment)).worker);
  return [...new Set([own.worker, ...all])];
}
