import { requireHttps } from '../../control-plane/transport.ts';
import type { Environment } from '../../support/configuration.ts';
import { CannotChangeError } from '../../support/errors.ts';
import { oldAgents, type Observation, type Observed } from '../transaction/observe.ts';
import { workerVariables } from '../worker/request.ts';
import type { Work } from '../worker/session.ts';
import { readServerFiles, settleServer } from './origin.ts';
import { isAccepted, originOf, otherServer } from './rule.ts';

/**
 * Before an upgrade takes the keys of a container: they must be for the server that this host belongs to. A host that was
 * registered before that was kept learns it here from its managed agent.
 * @param holder whose keys are to be used
 * @throws OtherServerError; ConfigurationError for plain http with `AGENT_REQUIRE_HTTPS`; CannotChangeError when the files cannot
 *   be read and nobody vouches for the keys: no agent is active with them
 */
export async function requireKeptServer(work: Work, observation: Observation, holder: Observed): Promise<void> {
  const { environment } = work.configuration;
  const files = await readServerFiles(work, work.limits.HOST_FILE);
  const given = originOf({ CATTLE_URL: environment[workerVariables.server] ?? '' });
  const kept = await settleServer(work, files, {
    ...(given === undefined ? {} : { word: { origin: given, by: '--server' as const } }),
    agents: environmentsOf(observation),
  });
  const isActive = holder === observation.agent;
  if (files.problem !== undefined && !isActive)
    throw new CannotChangeError(`cannot tell for which server the keys of ${holder.name} are`, {
      originalMessage: files.problem,
      hint: 'repair the disk of /var/lib/rancher, then try again',
    });
  const used = originOf(holder.environment, files.conf);
  if (kept !== undefined && used !== undefined && !isAccepted(kept, used))
    throw otherServer(holder.name, used, kept);
  if (used !== undefined)
    requireHttps(used, { ...holder.environment, ...settingsOf(environment), ...settingsOf(files.conf) });
  if (!isActive) work.log.warn(`no agent is active: using the keys of ${holder.name}`, { server: used ?? '' });
}

/** The environments of the managed agents: the active one, else a parked one, else the next one. */
export function environmentsOf(observation: Observation): readonly Environment[] {
  const { agent, next, besideNext } = observation;
  const agents = [agent, ...oldAgents(observation), next, besideNext];
  return agents
    .filter((observed) => observed?.managed === true && observed.adopted !== true)
    .map((observed) => observed?.environment ?? {});
}

function settingsOf(environment: Environment): Environment {
  return Object.fromEntries(Object.entries(environment).filter(([name, value]) => name.startsWith('AGENT_') && value !== ''));
}
