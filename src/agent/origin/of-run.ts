import type { ContainerDetails } from '../../engine/engine.ts';
import type { ConfiguredHost } from '../host.ts';
import { labels } from '../identity/roles.ts';
import { readServerFiles, settleServer } from './origin.ts';
import { isAccepted, originOf, otherServer, type Known, type OtherServerError } from './rule.ts';

/** The active agent, as far as this needs it. */
export interface RunningAgent extends Pick<
  ConfiguredHost,
  'paths' | 'limits' | 'clock' | 'log' | 'configuration' | 'names'
> {
  /** Our own container; undefined outside of one. */
  readonly own: Pick<ContainerDetails, 'name' | 'labels' | 'environment'> | undefined;
}

/**
 * Whether the active agent must not use its keys: they are for another server than the one that this host belongs to. A host
 * that does not keep that yet learns it here. Asked before every bootstrap, so that a person's word counts without a restart.
 *
 * @param cattleUrl that this agent uses
 * @returns undefined when it may go on, also when the host's files cannot be read: a disk never stops an agent
 */
export async function findOtherServer(
  run: RunningAgent,
  cattleUrl: string,
): Promise<OtherServerError | undefined> {
  const used = originOf({ CATTLE_URL: cattleUrl });
  if (used === undefined) return undefined;
  const files = await readServerFiles(run, run.limits.TRUST_PATIENCE);
  const word = findWord(run, used, originOf({}, files.conf));
  const kept = await settleServer(run, files, {
    ...(word === undefined ? {} : { word }),
    agents: [run.own?.environment ?? {}, { CATTLE_URL: cattleUrl }],
  });
  if (kept === undefined || isAccepted(kept, used)) return undefined;
  return otherServer(run.own?.name ?? run.names.agent, used, kept);
}

/**
 * A person's word, if this agent follows one: CATTLE_URL in agent.conf, as it was read at the start; or `-e` keys of a container
 * that no worker has created.
 */
function findWord({ own }: RunningAgent, used: string, inConf: string | undefined): Known['word'] {
  if (inConf === used) return { origin: used, by: 'agent.conf' };
  const isByHand = own !== undefined && own.labels[labels.spec] === undefined;
  return isByHand ? { origin: used, by: 'environment' } : undefined;
}
