import type { Environment } from '../../support/configuration.ts';

/**
 * What a host is known by at its server, beside its keys: without these a host that registers again would be another one, with
 * another address and without its labels.
 */
const carriedVariables = [
  'CATTLE_PHYSICAL_HOST_UUID',
  'CATTLE_DOCKER_UUID',
  'CATTLE_AGENT_IP',
  'CATTLE_HOST_LABELS',
] as const;

/**
 * Pure: what a registration takes over from the agent before it, if the server has given the same keys and so knows the same
 * host. What a person gives counts, also an empty value, which takes a setting away.
 * @param former the environment of the agent that is replaced, if it is managed
 */
export function carryOver(given: Environment, former: Environment | undefined): Environment {
  if (former?.['CATTLE_ACCESS_KEY'] !== given['CATTLE_ACCESS_KEY'] || former === undefined) return {};
  return Object.fromEntries(
    carriedVariables.flatMap((name) => {
      const value = former[name] ?? '';
      return value === '' || given[name] !== undefined ? [] : [[name, value]];
    }),
  );
}

/** Every registration sets these itself, so a missing one was not forgotten. */
const setByRegistration: readonly string[] = [
  'CATTLE_URL',
  'CATTLE_ACCESS_KEY',
  'CATTLE_SECRET_KEY',
  'CATTLE_AGENT_PIDNS',
  'CATTLE_SYSTEMD',
];

/**
 * Pure: the names of the settings that the agent before had, and the agent of this registration has not. A person may want that, or
 * may have forgotten them.
 * @param next the environment of the agent that is created
 * @param kept the names that an agent's container gets at all
 */
export function findDropped(
  next: Environment,
  former: Environment | undefined,
  kept: readonly string[],
): readonly string[] {
  const had = kept.filter((name) => (former?.[name] ?? '') !== '' && !setByRegistration.includes(name));
  return [...new Set(had)].filter((name) => next[name] === undefined).sort();
}
