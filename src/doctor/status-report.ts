import type { RoleTitle } from '../agent/identity/roles.ts';
import type { ServingReading } from '../agent/run/serving/file.ts';
import type { LeakFigures } from '../cleanup/leak-figures.ts';
import type { ContainerState } from '../engine/engine.ts';
import { isPlainHttp } from '../control-plane/transport.ts';
import type { Word } from '../host/files/kept-server.ts';
import type { LockHolder } from '../host/files/lock.ts';
import type { StatusReading } from '../host/files/status.ts';
import type { Limits } from '../support/limits/limits.ts';
import { diagnoseStatus, type StatusDiagnosis } from './diagnosis.ts';
import type { AgentSnapshot, AttemptSummary, Seen, StatusSnapshot } from './snapshot.ts';

/** What `status` shows of a snapshot; with `--json` exactly this (docs/json.md). */
export interface StatusReport extends StatusDiagnosis {
  readonly version: 2;
  /** When it was collected, as ISO 8601. */
  readonly checkedAt: string;
  readonly status: StatusReading | Problem;
  /** What the active agent reports about itself; `stale` and `missing`: unknown. */
  readonly serving: ServingReading | Problem;
  readonly containers: readonly RoleHolder[] | Problem;
  readonly lock: LockHolder | Problem;
  /** Target images that failed, and when each may be tried again. */
  readonly attempts: readonly AttemptSummary[] | Problem;
  /** Leaked helpers of the legacy entrypoint. */
  readonly leaks: LeakFigures | Problem;
  /** The server that the keys of this host belong to, and how it is reached. */
  readonly transport: TransportReport | Problem;
}

export interface TransportReport {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Since when that is kept on the host, and who said so; missing: it is not kept, and the agent's record names it. */
  readonly since?: string;
  readonly by?: Word;
  /** Whether anybody between can read the keys and change the script. */
  readonly plainHttp: boolean;
  /** `AGENT_REQUIRE_HTTPS=false`: a person accepts plain http. */
  readonly accepted: boolean;
}

/** Why something is unknown. */
export interface Problem {
  readonly problem: string;
}

/** A container in a role. */
export interface RoleHolder {
  readonly role: RoleTitle | 'other';
  readonly name: string;
  readonly id: string;
  readonly image: string;
  readonly state: ContainerState;
  /** False for somebody else's container that has one of our names. */
  readonly managed: boolean;
}

/** The report on a snapshot. */
export function buildStatusReport(snapshot: StatusSnapshot, limits: Limits): StatusReport {
  const { agents } = snapshot;
  return {
    version: 2,
    ...diagnoseStatus(snapshot, limits),
    checkedAt: new Date(snapshot.now).toISOString(),
    status: valueOf(snapshot.status),
    serving: valueOf(snapshot.serving),
    containers: agents.known ? agents.value.map(holderOf) : { problem: agents.why },
    lock: valueOf(snapshot.lock),
    attempts: valueOf(snapshot.attempts),
    leaks: valueOf(snapshot.leaks),
    transport: reportTransport(snapshot),
  };
}

function reportTransport({ transport, serving }: StatusSnapshot): TransportReport | Problem {
  if (!transport.known) return { problem: transport.why };
  const { kept, https } = transport.value;
  const record = serving.known && 'record' in serving.value ? serving.value.record : undefined;
  const origin = kept?.origin ?? record?.server;
  if (origin === undefined)
    return { problem: 'no agent of this entrypoint has used its keys on this host yet' };
  return {
    origin,
    ...(kept === undefined ? {} : { since: kept.since, by: kept.by }),
    plainHttp: isPlainHttp(origin),
    accepted: https === 'accepted',
  };
}

function holderOf({ role, name, id, image, state, managed }: AgentSnapshot): RoleHolder {
  return { role, name, id, image, state, managed };
}

function valueOf<T>(seen: Seen<T>): T | Problem {
  return seen.known ? seen.value : { problem: seen.why };
}
