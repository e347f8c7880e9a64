import { requireHttps } from '../../control-plane/transport.ts';
import type { Environment } from '../../support/configuration.ts';
import { CannotChangeError } from '../../support/errors.ts';
import { everyone, oldAgents, type Observation, type Observed } from '../transaction/observe.ts';
import { workerVariables } from '../worker/request.ts';
import type { Work } from '../worker/session.ts';
import { readServerFiles, settleServer, wordOf } from './origin.ts';
import { isAccepted, originOf, otherServer } from './rule.ts';

/**
 * Before an upgrade takes the keys of a container: they must be for the server that this host belongs to. A host that was
 * registered before that was kept learns it here from its managed agent.
 * @param holder whose keys are to be used
 * @throws OtherServerError; ConfigurationError for plain http with `AGENT_REQUIRE_HTTPS`; CannotChangeError when the files cannot
 *   be read and nobody vouches for the keys: no agent is active with them
 */
export async function requireKeptServer(
  work: Work,
  observation: Observation,
  holder: Observed,
): Promise<void> {
  const { environment } = work.configuration;
  const files = await readServerFiles(work, work.limits.KEPT_SERVER);
  const given = originOf({ CATTLE_URL: environment[workerVariables.server] ?? '' });
  const used = originOf(holder.environment, files.conf);
  // Before it is kept: a mistyped URL must not take the active agent off its server.
  if (given !== undefined && used !== undefined && used !== given)
    throw otherServer(holder.name, used, { origin: given, since: '', by: '--server' });
  const word = given === undefined ? wordOf(files.conf) : { origin: given, by: '--server' as const };
  const kept = await settleServer(work, files, {
    ...(word === undefined ? {} : { word }),
    agents: environmentsOf(observation),
  });
  const isActive = holder === observation.agent;
  if (files.problem !== undefined && !isActive)
    throw new CannotChangeError(`cannot find out for which server the keys of ${holder.name} are`, {
      originalMessage: files.problem,
      hint: 'repair the disk of /var/lib/rancher, then try again',
    });
  if (kept !== undefined && used !== undefined && !isAccepted(kept, used))
    throw otherServer(holder.name, used, kept);
  if (used !== undefined)
    requireHttps(used, { ...holder.environment, ...settingsOf(environment), ...settingsOf(files.conf) });
  if (!isActive)
    work.log.warn(`no agent is active: using the keys of ${holder.name}`, { server: used ?? '' });
}

/**
 * Which containers a transaction must not use: those whose keys are for another server than the one that this host belongs to.
 * A host that does not keep it yet learns it here.
 * @param mayReplace whether the active agent is to be replaced, and so may have any keys: its holder was judged before
 * @throws OtherServerError when an active agent that is to stay has the keys of another server
 */
export async function judgeKeys(
  work: Work,
  observation: Observation,
  { mayReplace }: { readonly mayReplace: boolean },
): Promise<(observed: Observed) => boolean> {
  const files = await readServerFiles(work, work.limits.KEPT_SERVER);
  const word = wordOf(files.conf);
  const kept = await settleServer(work, files, {
    ...(word === undefined ? {} : { word }),
    agents: environmentsOf(observation),
  });
  const { agent } = observation;
  if (!mayReplace && agent?.managed === true && kept !== undefined) {
    const used = originOf(agent.environment, files.conf);
    if (used !== undefined && !isAccepted(kept, used)) throw otherServer(agent.name, used, kept);
  }
  return (observed) => !isAccepted(kept, originOf(observed.environment, files.conf));
}

/** The environments of the managed agents: the active one, else a parked one, else the next one. */
export function environmentsOf(observation: Observation): readonly Environment[] {
  const { agent } = observation;
  const agents = new Set([
    ...(agent === undefined ? [] : [agent]),
    ...oldAgents(observation),
    ...everyone(observation),
  ]);
  return [...agents]
    .filter(({ managed, adopted }) => managed && adopted !== true)
    .map(({ environment }) => environment);
}

function settingsOf(environment: Environment): Environment {
  return Object.fromEntries(
    Object.entries(environment).filter(([name, value]) => name.startsWith('AGENT_') && value !== ''),
  );
}
