import type { KeptServer, Word } from '../../host/files/kept-server.ts';
import type { Environment } from '../../support/configuration.ts';
import { EntrypointError, ExitCode } from '../../support/errors.ts';

/*
 * Keys belong to a server (trust: "Keys and server"). The server's origin is kept on the host. A new registration, CATTLE_URL in
 * agent.conf, `-e` keys and `upgrade --server URL` are the word of a person and change it. Any other origin is refused.
 */

/** What is known on this host about the server of the keys. */
export interface Known {
  /** What is kept; undefined: nothing is yet, or it cannot be understood. */
  readonly kept: KeptServer | undefined;
  /** What a person says now: `upgrade --server`, `-e` keys, or else agent.conf. */
  readonly word?: { readonly origin: string; readonly by: Word };
  /** What the managed agents of this host use: the active one, else a parked one, else the next one. */
  readonly agents: readonly string[];
}

/** What counts from now on, and what that changes. */
export interface Judgement {
  readonly server: KeptServer | undefined;
  /** `taken`: nothing was kept before. `changed`: the keys go to another server than before. */
  readonly change?: 'taken' | 'changed';
}

/** Pure: which server counts from now on. @param now ISO 8601 */
export function judgeServer({ kept, word, agents }: Known, now: string): Judgement {
  if (word === undefined) {
    if (kept !== undefined) return { server: kept };
    const [origin] = agents;
    return origin === undefined
      ? { server: undefined }
      : { server: { origin, since: now, by: 'agent' }, change: 'taken' };
  }
  if (kept?.origin === word.origin) return { server: kept };
  const former = kept?.origin ?? agents.find((origin) => origin !== word.origin);
  const before = word.by === 'agent.conf' && former !== undefined ? { before: former } : {};
  return {
    server: { ...word, since: now, ...before },
    change: kept === undefined ? 'taken' : 'changed',
  };
}

/**
 * Pure: a registration begins to give the host keys of this server. Until it is over, those of the agents that it replaces
 * count as well: it may be rolled back.
 */
export function beginRegistration({ kept, agents }: Known, origin: string, now: string): KeptServer {
  const before = agents.find((each) => each !== origin);
  if (kept?.origin === origin && kept.before === before) return kept;
  return { origin, since: now, by: 'registration', ...(before === undefined ? {} : { before }) };
}

/** Pure: the work is over, and an agent with this origin is active. Undefined: nothing changes. */
export function concludeWork(
  kept: KeptServer | undefined,
  origin: string | undefined,
  now: string,
): KeptServer | undefined {
  if (kept?.before === undefined || kept.by === 'agent.conf') return undefined;
  const { before, ...server } = kept;
  if (origin === server.origin) return server;
  return origin === before ? { origin: before, since: now, by: 'agent' } : undefined;
}

/** Pure: whether keys with that origin may be used here. Without anything kept, nothing is refused. */
export function isAccepted(server: KeptServer | undefined, origin: string | undefined): boolean {
  return server === undefined || origin === undefined || origin === server.origin || origin === server.before;
}

/** The origin of the server that an agent with this environment talks to: agent.conf counts before it (contract §5). */
export function originOf(environment: Environment, conf: Environment = {}): string | undefined {
  const url = conf['CATTLE_URL'] || environment['CATTLE_URL'];
  const parsed = url === undefined ? null : URL.parse(url);
  return parsed === null || !/^https?:$/.test(parsed.protocol) ? undefined : parsed.origin;
}

/** Keys that are found here belong to another server than the one that this host belongs to. */
export class OtherServerError extends EntrypointError {
  readonly code = 'other-server';
  readonly exitCode = ExitCode.badConfiguration;
}

/**
 * @param name of the agent
 * @param origin that agent's
 */
export function otherServer(
  name: string,
  origin: string,
  { origin: kept, by }: KeptServer,
): OtherServerError {
  return new OtherServerError(
    `the keys of ${name} are for ${origin}, and this host belongs to ${kept} (${describeWord(by)}): they are not used`,
    {
      hint: `if ${origin} is right: docker run … IMAGE upgrade --server ${origin}; else register this host again at ${kept}`,
    },
  );
}

/** Who says so, for people. */
export function describeWord(by: Word): string {
  switch (by) {
    case 'registration':
      return 'a registration says so';
    case 'agent.conf':
      return 'CATTLE_URL in agent.conf says so';
    case '--server':
      return 'upgrade --server says so';
    case 'environment':
      return 'keys given with -e say so';
    case 'agent':
      return 'taken from the agent of this host';
  }
}
