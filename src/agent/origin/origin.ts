import { parseAgentConf } from '../../control-plane/agent-conf.ts';
import { readKeptServer, writeKeptServer, type KeptServer } from '../../host/files/kept-server.ts';
import { readOwnFile } from '../../host/files/safe-folder.ts';
import { withDeadline } from '../../support/deadline.ts';
import type { Environment } from '../../support/configuration.ts';
import { messageOf } from '../../support/errors.ts';
import type { Host } from '../host.ts';
import {
  beginRegistration,
  concludeWork,
  describeWord,
  judgeServer,
  originOf,
  type Judgement,
  type Known,
} from './rule.ts';

type Place = Pick<Host, 'paths' | 'limits' | 'clock' | 'log'>;

/** What the host's files say about the server of its keys. */
export interface ServerFiles {
  readonly kept: KeptServer | undefined;
  /** The variables in agent.conf. */
  readonly conf: Environment;
  /** Why the files could not be read; then nothing is known, and nothing is written. */
  readonly problem?: string;
}

/**
 * Reads what is kept, and agent.conf. Never throws: a file that cannot be read stops no agent. A damaged file counts as none.
 * @param deadlineMs for both of them
 */
export async function readServerFiles(
  { paths, log }: Pick<Place, 'paths' | 'log'>,
  deadlineMs: number,
): Promise<ServerFiles> {
  try {
    const [reading, conf] = await Promise.all([
      readKeptServer(paths, deadlineMs),
      readOwnFile(`${paths.rancher}/etc/agent.conf`, { deadlineMs }),
    ]);
    if (reading.kind === 'damaged')
      log.warn(`the file with the server of this host is damaged (${reading.reason}); it is written again`);
    const { variables } = parseAgentConf(conf ?? '');
    return { kept: reading.kind === 'kept' ? reading.server : undefined, conf: variables };
  } catch (error) {
    return { kept: undefined, conf: {}, problem: messageOf(error) };
  }
}

/** The word of agent.conf, if it names a server. */
export function wordOf(conf: Environment): Known['word'] {
  const origin = originOf({}, conf);
  return origin === undefined ? undefined : { origin, by: 'agent.conf' };
}

/**
 * Finds which server counts from now on; keeps and logs it where that is new.
 * @param word what a person says
 * @param agents the environments of the managed agents: the active one, else a parked one, else the next one
 * @returns undefined where that cannot be known
 */
export async function settleServer(
  place: Place,
  { kept, problem }: ServerFiles,
  { word, agents }: { readonly word?: Known['word']; readonly agents: readonly Environment[] },
): Promise<KeptServer | undefined> {
  if (problem !== undefined) {
    place.log.warn(`cannot read to which server the keys of this host belong: ${problem}`);
    return undefined;
  }
  const known = { kept, agents: originsOf(agents), ...(word === undefined ? {} : { word }) };
  const judgement = judgeServer(known, timeOf(place));
  if (judgement.change !== undefined) await keep(place, judgement, kept);
  return judgement.server;
}

function originsOf(environments: readonly Environment[]): readonly string[] {
  return environments
    .map((environment) => originOf(environment))
    .filter((origin): origin is string => origin !== undefined);
}

/**
 * A registration has keys of this server: both count until an agent is active with one of them.
 * @param agents as in `settleServer`
 */
export async function noteRegistration(
  place: Place,
  cattleUrl: string,
  agents: readonly Environment[],
): Promise<void> {
  const { kept, conf, problem } = await readServerFiles(place, place.limits.KEPT_SERVER);
  const origin = originOf({ CATTLE_URL: cattleUrl });
  if (origin === undefined) return;
  const inConf = originOf({}, conf);
  if (inConf !== undefined && inConf !== origin)
    place.log.warn(
      `agent.conf sets CATTLE_URL to ${inConf}, which counts before the registration at ${origin}: the agent sends its keys there`,
    );
  if (problem !== undefined) place.log.warn(`cannot read the server of this host: ${problem}`);
  const server = beginRegistration({ kept, agents: originsOf(agents) }, origin, timeOf(place));
  if (server !== kept) await keep(place, { server, change: 'changed' }, kept);
}

/** The work is over: only the server of the agent that is active counts from now on. */
export async function concludeServer(place: Place, environment: Environment): Promise<void> {
  const { kept, conf, problem } = await readServerFiles(place, place.limits.TRUST_PATIENCE);
  if (problem !== undefined) return;
  const server = concludeWork(kept, originOf(environment, conf), timeOf(place));
  if (server !== undefined) await write(place, server);
}

async function keep(
  place: Place,
  { server, change }: Judgement,
  before: KeptServer | undefined,
): Promise<void> {
  if (server === undefined) return;
  const { origin, by } = server;
  const former = server.before ?? before?.origin;
  if (change === 'changed' && former !== undefined && former !== origin)
    place.log.warn(
      `the keys of this host belonged to ${former} and now belong to ${origin}: ${describeWord(by)}`,
    );
  else place.log.info(`the keys of this host belong to ${origin} from now on: ${describeWord(by)}`);
  await write(place, server);
}

/** A host that cannot keep it goes on: the next work finds it again. */
async function write({ paths, limits, log }: Place, server: KeptServer): Promise<void> {
  try {
    await withDeadline('keep the server of this host', limits.KEPT_SERVER, async () =>
      writeKeptServer(paths, server),
    );
  } catch (error) {
    log.warn('cannot keep on this host to which server its keys belong', { error: messageOf(error) });
  }
}

function timeOf({ clock }: Pick<Place, 'clock'>): string {
  return new Date(clock.now()).toISOString();
}
