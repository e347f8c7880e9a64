import type { Limits } from '../support/limits/limits.ts';
import { checkAddress } from './checks/address.ts';
import { checkAgents, isAtWork } from './checks/agents.ts';
import { checkCertificates } from './checks/certificates.ts';
import { checkEngine } from './checks/engine.ts';
import { checkKey, checkLock } from './checks/lock-and-key.ts';
import { checkLeaks } from './checks/leaks.ts';
import { checkLogs } from './checks/logs.ts';
import { checkMounts } from './checks/mounts.ts';
import { checkAgentRestarts, checkRestarts } from './checks/restarts.ts';
import { checkClock, checkServer } from './checks/server.ts';
import { checkServing } from './checks/serving.ts';
import { checkState } from './checks/state.ts';
import { checkTransport } from './checks/transport.ts';
import { checkPoolMode } from './checks/pool-mode.ts';
import { checkPool, checkStorage } from './checks/storage.ts';
import type { Finding, Level } from './finding.ts';
import type { HostSnapshot, StatusSnapshot } from './snapshot.ts';

export type Verdict = 'healthy' | 'warnings' | 'unhealthy';

/** The doctor's result; with `--json` exactly this (docs/json.md). */
export interface Diagnosis {
  readonly version: 2;
  readonly verdict: Verdict;
  /** 0, 1 or 2, according to the verdict. */
  readonly exitCode: 0 | 1 | 2;
  /** Codes of the faults, the worst first; each once. */
  readonly causes: readonly string[];
  /** Checks that were not possible, or only in part. */
  readonly unknown: readonly string[];
  readonly findings: readonly Finding[];
  readonly checkedAt: string;
  readonly tookMs: number;
}

/**
 * Checks a snapshot. Pure: the same snapshot and limits give the same diagnosis. A new check gets a line here, at its place on
 * the screen; CONTRIBUTING.md, "Add a check of the doctor", has what else it needs.
 */
export function diagnose(snapshot: HostSnapshot, limits: Limits, tookMs: number): Diagnosis {
  const findings = [
    ...checkEngine(snapshot),
    ...checkStorage(snapshot, limits),
    ...checkLogs(snapshot, limits),
    ...checkPool(snapshot, limits),
    ...checkPoolMode(snapshot),
    ...checkAgents(snapshot, limits),
    ...checkLeaks(snapshot),
    ...checkRestarts(snapshot, limits),
    ...checkMounts(snapshot, limits),
    ...checkLock(snapshot),
    ...checkKey(snapshot),
    ...checkAddress(snapshot),
    ...checkServer(snapshot),
    ...checkCertificates(snapshot, limits),
    ...checkTransport(snapshot),
    ...checkClock(snapshot, limits),
    ...checkServing(snapshot),
    ...checkState(snapshot),
  ];
  const verdict = verdictOf(findings);
  return {
    version: 2,
    verdict,
    exitCode: exitCodes[verdict],
    causes: causesOf(findings),
    unknown: findings.filter(({ level }) => level === 'unknown').map(({ check }) => check),
    findings,
    checkedAt: new Date(snapshot.now).toISOString(),
    tookMs: Math.round(tookMs),
  };
}

/** The verdict of `status`: that of the doctor's checks on the part of the snapshot that costs little. */
export interface StatusDiagnosis {
  /** `unknown`: the engine does not answer, so nothing could be checked. */
  readonly verdict: Verdict | 'unknown';
  /** As the doctor's. */
  readonly causes: readonly string[];
  /** One sentence. */
  readonly text: string;
}

/** Checks a part of a snapshot. Pure. */
export function diagnoseStatus(snapshot: StatusSnapshot, limits: Limits): StatusDiagnosis {
  const { agents } = snapshot;
  if (!agents.known) return { verdict: 'unknown', causes: [], text: `could not be checked: ${agents.why}` };
  const findings = [
    ...checkAgents(snapshot, limits),
    ...checkAgentRestarts(agents.value, snapshot.now, limits),
    ...checkServing(snapshot),
    ...checkState(snapshot),
    ...checkLeaks(snapshot),
    ...checkLock(snapshot),
  ];
  const verdict = verdictOf(findings);
  const text = describeFaults(findings) ?? describeHealthy(findings, isAtWork(snapshot));
  return { verdict, causes: causesOf(findings), text: `${verdict}: ${text}` };
}

/** The worst fault; undefined without one. */
function describeFaults(findings: readonly Finding[]): string | undefined {
  const unhealthy = findings.filter(({ level }) => level === 'unhealthy');
  const [first, ...others] = [...unhealthy, ...findings.filter(({ level }) => level === 'warning')];
  if (first === undefined) return undefined;
  return others.length === 0 ? first.text : `${first.text}; and ${others.length} more, see doctor`;
}

/** Whether the agent serves matters most, except while a worker runs. */
function describeHealthy(findings: readonly Finding[], atWork: boolean): string {
  const [agents] = findings;
  const serving = findings.find(
    ({ check, figures }) => check === 'serving' && figures?.['serving'] === 'yes',
  );
  const text = (atWork ? agents : (serving ?? agents))?.text ?? 'no faults found';
  const unknown = findings.filter(({ level }) => level === 'unknown').map(({ check }) => check);
  return unknown.length === 0 ? text : `${text}; could not be checked: ${unknown.join(', ')}`;
}

const exitCodes = { healthy: 0, warnings: 1, unhealthy: 2 } as const;

/** A check that was not possible does not count as healthy. */
function verdictOf(findings: readonly Finding[]): Verdict {
  const levels = new Set(findings.map(({ level }) => level));
  if (levels.has('unhealthy')) return 'unhealthy';
  return levels.has('warning') || levels.has('unknown') ? 'warnings' : 'healthy';
}

function causesOf(findings: readonly Finding[]): readonly string[] {
  return [...causesAt(findings, 'unhealthy'), ...causesAt(findings, 'warning')].filter(isFirst);
}

function causesAt(findings: readonly Finding[], wanted: Level): readonly string[] {
  return findings.flatMap(({ level, cause }) => (level === wanted && cause !== undefined ? [cause] : []));
}

function isFirst(cause: string, index: number, all: readonly string[]): boolean {
  return all.indexOf(cause) === index;
}
