import type { HostStatus } from '../../../host/files/status.ts';

/*
 * Causes in the status file that are about whether the agent serves. The state that has one of them goes away when the agent
 * serves again, whichever process wrote it; a failed upgrade does not.
 */

/** The server does not know the agent's keys. */
export const keysRevoked = 'keys-revoked';
/** What a person can do about them. The restart counts if the server gives the same keys again: then no agent is replaced. */
export const registerAgain =
  'register this host again, with the command of "Add Host"; then docker restart rancher-agent';
/** The server's script exits with an error again and again, while the server answers. */
export const bootstrapFails = 'bootstrap-fails';
/** No bootstrap runs, and none has failed: nothing has been started yet, or not for a while. */
export const bootstrapNotRunning = 'bootstrap-not-running';
/** No live answer, for no known reason. */
export const serverUnreachable = 'server-unreachable';
/** Nobody observes the bootstrap: `CATTLE_EXEC_AGENT`, a legacy image, `--offline`. */
export const servingUnknown = 'serving-unknown';
/** A bootstrap runs, and none of its processes has had a connection to the server for a while. */
export const agentNotConnected = 'agent-not-connected';
/** It has just been started: too early to know. Never the cause of a state. */
export const starting = 'starting';
/** The engine's socket in this container is dead, while the host's answers. */
export const socketDead = 'socket-dead';
/** The host's resolv.conf is another one than at the start, and names cannot be resolved. */
export const resolverChanged = 'resolver-changed';

/** Those that need a person on this host or at the server: the state is `failed`, not `degraded`. */
const failing: readonly string[] = [keysRevoked, 'no-bash', 'no-room-for-bootstrap'];

const others: readonly string[] = [
  bootstrapFails,
  bootstrapNotRunning,
  serverUnreachable,
  servingUnknown,
  agentNotConnected,
  socketDead,
  resolverChanged,
];

/** Whether not serving for that cause is `failed`. */
export function isFailing(cause: string): boolean {
  return failing.includes(cause);
}

/**
 * Whether a state goes away as soon as the agent serves: the agent has written so (`until`), or its cause is about serving. A
 * worker's `degraded` with the cause of a readiness check (`ready-…`) is one; a `failed` upgrade with it is not.
 */
export function endsWithServing({
  state,
  cause = '',
  until,
}: Pick<HostStatus, 'state' | 'cause' | 'until'>): boolean {
  if (state !== 'degraded' && state !== 'failed') return false;
  if (until === 'serving' || failing.includes(cause)) return true;
  return state === 'degraded' && (others.includes(cause) || cause.startsWith('ready-'));
}
