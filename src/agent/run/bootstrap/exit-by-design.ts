import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../../../support/configuration.ts';
import { withDeadline } from '../../../support/deadline.ts';
import type { Limits } from '../../../support/limits/limits.ts';
import type { ChildExit } from './child.ts';

/** Modification times of the agent's stamps, in ms since 1970, in the order of `stampFiles`. */
export type Stamps = readonly (number | undefined)[];

/**
 * The files by which the server's agent notices that it was updated (control-plane §5.4, §8). It looks every 2 s, and
 * exits with 1 when the time of its stamp has changed, so that the bootstrap starts the new version.
 */
export function stampFiles(environment: Environment): readonly string[] {
  const home = environment['CATTLE_HOME'] ?? '/var/lib/cattle';
  return [
    environment['CATTLE_STAMP_FILE'] ?? join(home, '.pyagent-stamp'),
    join(environment['PASTURESTACK_HOME'] ?? home, '.node-agent-stamp'),
  ];
}

/** Never throws: a stamp that cannot be read, or whose disk does not answer, has no time. */
export async function readStamps(environment: Environment, limits: Limits): Promise<Stamps> {
  return Promise.all(stampFiles(environment).map(async (file) => readTime(file, limits)));
}

async function readTime(file: string, limits: Limits): Promise<number | undefined> {
  try {
    const { mtimeMs } = await withDeadline(`stat ${file}`, limits.HOST_FILE, async () => stat(file));
    return mtimeMs;
  } catch {
    return undefined;
  }
}

export interface FinishedRun {
  readonly exit: ChildExit;
  /** How long it ran, in ms. */
  readonly ms: number;
  /** When it exited, ms since 1970. */
  readonly at: number;
  readonly stampsBefore: Stamps;
  readonly stampsAfter: Stamps;
}

/**
 * Pure: whether a bootstrap exited as it is meant to (readiness §4): with 0, because the websocket was closed, or with
 * 1, because the agent was updated.
 *
 * A stamp that changed during the run does not suffice for that: each bootstrap downloads with `config.sh --force` and so
 * writes the stamp again while it starts. It must have changed just before the exit, in a run that lasted.
 */
export function isByDesign(run: FinishedRun, limits: Limits): boolean {
  if (run.exit.status === 0) return true;
  if (run.exit.status !== 1 || run.ms < limits.BOOTSTRAP_LASTED) return false;
  return run.stampsAfter.some(
    (time, index) =>
      time !== undefined &&
      time !== run.stampsBefore[index] &&
      Math.abs(run.at - time) <= limits.STAMP_RECENT,
  );
}
