import type { RoleNames } from '../agent/identity/roles.ts';
import type { Limits } from '../support/limits/limits.ts';
import { checkAgents } from './checks/agents.ts';
import { checkCertificates } from './checks/certificates.ts';
import { checkEngine } from './checks/engine.ts';
import { checkKey, checkLock } from './checks/host.ts';
import { checkLeaks } from './checks/leaks.ts';
import { checkMounts } from './checks/mounts.ts';
import { checkRestarts } from './checks/restarts.ts';
import { checkClock, checkServer } from './checks/server.ts';
import { checkServing } from './checks/serving.ts';
import { checkState } from './checks/state.ts';
import { checkPool, checkStorage } from './checks/storage.ts';
import type { Finding, Level } from './finding.ts';
import type { HostRecord } from './snapshot.ts';

/** What the doctor says; with `--json` exactly this (docs/json.md). */
export interface Diagnosis {
  readonly version: 2;
  readonly verdict: 'healthy' | 'warnings' | 'unhealthy';
  /** 0, 1 or 2, as the verdict. */
  readonly exitCode: 0 | 1 | 2;
  /** Codes of what is wrong, the worst first; each once. */
  readonly causes: readonly string[];
  /** Checks that could not be made, or only in part. */
  readonly unknown: readonly string[];
  readonly findings: readonly Finding[];
  readonly checkedAt: string;
  readonly tookMs: number;
}

/** Judges a record. Pure: the same record, limits and names give the same diagnosis. */
export function diagnose(record: HostRecord, limits: Limits, names: RoleNames, tookMs: number): Diagnosis {
  const findings = [
    ...checkEngine(record),
    ...checkStorage(record, limits),
    ...checkPool(record, limits),
    ...checkAgents(record, limits),
    ...checkLeaks(record, limits, names),
    ...checkRestarts(record, limits),
    ...checkMounts(record, limits),
    ...checkLock(record),
    ...checkKey(record),
    ...checkServer(record),
    ...checkCertificates(record, limits),
    ...checkClock(record, limits),
    ...checkServing(record),
    ...checkState(record),
  ];
  const levels = new Set(findings.map(({ level }) => level));
  const verdict = verdictOf(levels);
  return {
    version: 2,
    verdict,
    exitCode: exitCodes[verdict],
    causes: [...causesAt(findings, 'unhealthy'), ...causesAt(findings, 'warning')].filter(isFirst),
    unknown: findings.filter(({ level }) => level === 'unknown').map(({ check }) => check),
    findings,
    checkedAt: new Date(record.now).toISOString(),
    tookMs: Math.round(tookMs),
  };
}

const exitCodes = { healthy: 0, warnings: 1, unhealthy: 2 } as const;

/** What could not be looked at is no all-clear. */
function verdictOf(levels: ReadonlySet<Level>): Diagnosis['verdict'] {
  if (levels.has('unhealthy')) return 'unhealthy';
  return levels.has('warning') || levels.has('unknown') ? 'warnings' : 'healthy';
}

function causesAt(findings: readonly Finding[], wanted: Level): readonly string[] {
  return findings.flatMap(({ level, cause }) => (level === wanted && cause !== undefined ? [cause] : []));
}

function isFirst(cause: string, index: number, all: readonly string[]): boolean {
  return all.indexOf(cause) === index;
}
