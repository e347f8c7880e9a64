import * as v from 'valibot';
import type { Host } from '../agent/host.ts';
import type { LeakCount } from '../host/files/metrics-file.ts';
import { runCommand, type CommandRunner } from '../host/processes.ts';

/*
 * A sweep, and a count of leaked helpers, in a process of their own. They list every container that does not run, and tenants
 * decide how long that list is. V8 ends a process whose memory is full; the agent must not be that process.
 */

/** What the agent needs to start one. */
export type SweepStart = Pick<Host, 'limits' | 'log' | 'signal' | 'clock'> & {
  /** Writes to the agent's log as it is. */
  readonly write: (text: string, stream: 'stderr') => void;
  readonly run?: CommandRunner;
};

const launcher = '/run.sh';

/** Sweeps in a process of its own; its log lines are in the agent's log when it has exited. @throws as `runCommand` */
export async function sweepBeside(start: SweepStart): Promise<void> {
  await runSweep(start, ['sweep']);
}

/** Counts in a process of its own. @returns undefined if it failed; the log says why */
export async function countBeside(start: SweepStart): Promise<LeakCount | undefined> {
  const text = await runSweep(start, ['sweep', '--count']);
  const counted = v.safeParse(figures, parseQuietly(text));
  return counted.success ? { ...counted.output, countedAt: start.clock.now() } : undefined;
}

const figures = v.object({ total: v.number(), lastHour: v.number() });

/** @returns what it printed; empty if it failed */
async function runSweep(
  { limits, log, signal, write, run = runCommand }: SweepStart,
  args: readonly string[],
): Promise<string> {
  const { status, stdout, stderr } = await run(launcher, args, { deadlineMs: limits.SWEEP_PROCESS, signal });
  if (stderr !== '') write(stderr, 'stderr');
  if (status === 0) return stdout;
  const what = args.includes('--count') ? 'counting the leaked helpers' : 'the sweep of leaked helpers';
  log.warn(`${what} failed: its process exited with status ${status}; the agent runs on`, {
    hint: 'to remove them all at once: docker exec -it rancher-agent /run.sh cleanup',
  });
  return '';
}

function parseQuietly(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
