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
