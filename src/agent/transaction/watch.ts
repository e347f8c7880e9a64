import { describeContainer, describeEnd } from '../../engine/containers.ts';
import type { ContainerDetails } from '../../engine/engine.ts';
import { deadlineIn } from '../../support/deadline.ts';
import type { Host } from '../host.ts';
import { readLastLog } from './last-log.ts';
import type { Observed } from './observe.ts';

export interface WatchContext extends Pick<Host, 'engine' | 'limits' | 'clock' | 'log'> {
  /** Masks secrets in what an agent wrote. */
  readonly scrub?: (text: string) => string;
  /** What the watch learns. */
  readonly history: {
    /** Ids of containers that did not stay up. */
    readonly rejected: Set<string>;
    /** How long (ms) a container was seen to stay up. */
    readonly watched: Map<string, number>;
    /** The last log lines of agents that exited, by id. */
    readonly lastLogs: Map<string, readonly string[]>;
  };
}

/**
 * Watches a container until it has been up for `ms` milliseconds without a restart. A container that exits or restarts
 * meanwhile is rejected; the plan then decides what follows. If somebody else restarts it, the watch begins again: such an
 * agent exits with status 1, has no process for a moment, and is as good as before.
 */
export async function watch(
  container: Observed,
  ms: number,
  context: WatchContext,
  signal: AbortSignal,
): Promise<void> {
  for (let restarts = 0; ; restarts += 1) {
    const seen = await watchOnce(container, ms, context, signal);
    if (seen.stayedUp) {
      context.history.watched.set(container.id, ms);
      return;
    }
    const mayComeBack =
      restarts < context.limits.VERIFY_RESTARTS && wasStoppedByRequest(container, seen.last);
    if (!mayComeBack || !(await comesBack(container, context, signal)))
      return reject(container, seen.last, context);
    context.log.info(`${describeContainer(container)} was restarted from outside: watching it again`);
  }
}

type Seen =
  { readonly stayedUp: true } | { readonly stayedUp: false; readonly last: ContainerDetails | undefined };

async function watchOnce(
  container: Observed,
  ms: number,
  { engine, clock, limits }: WatchContext,
  signal: AbortSignal,
): Promise<Seen> {
  const pause = Math.max(1, Math.min(limits.VERIFY_POLL, ms));
  for (let seen = 0; seen < ms; seen += pause) {
    await clock.sleep(pause, signal);
    const last = await engine.inspectContainer(container.id);
    if (last?.state !== 'running' || last.restartCount > container.restartCount)
      return { stayedUp: false, last };
  }
  return { stayedUp: true };
}

/**
 * A container with the policy `always` that exits without a request is `restarting` at once, or has restarted. It is
 * `exited` only if somebody asked the engine to stop it: `docker stop`, or the first half of `docker restart`.
 */
function wasStoppedByRequest(container: Observed, last: ContainerDetails | undefined): boolean {
  return (
    last?.state === 'exited' && last.restartPolicy === 'always' && last.restartCount <= container.restartCount
  );
}

/** Whether it runs again within RESTART_GAP. */
async function comesBack(
  container: Observed,
  { engine, clock, limits }: WatchContext,
  signal: AbortSignal,
): Promise<boolean> {
  const deadline = deadlineIn(limits.RESTART_GAP, clock);
  while (deadline.left() > 0) {
    await clock.sleep(Math.min(limits.VERIFY_POLL, deadline.left()), signal);
    const now = await engine.inspectContainer(container.id);
    if (!wasStoppedByRequest(container, now))
      return now?.state === 'running' && now.restartCount <= container.restartCount;
  }
  return false;
}

/** Its last log lines are read now: the rollback removes the container, and its log with it. */
async function reject(
  container: Observed,
  now: ContainerDetails | undefined,
  context: WatchContext,
): Promise<void> {
  const { log, history } = context;
  log.warn(`${describeContainer(container)} did not stay up`, {
    end: describeEnd(now),
    restarts: now?.restartCount ?? container.restartCount,
  });
  history.rejected.add(container.id);
  await keepLastLog(container, context);
}

/** Keeps the last log lines of a container, because its log is removed with it. */
export async function keepLastLog(
  container: Observed,
  { engine, limits, log, scrub, history }: WatchContext,
): Promise<void> {
  const lines = await readLastLog(engine, container.id, limits, scrub ?? ((text) => text));
  history.lastLogs.set(container.id, lines);
  for (const line of lines) log.warn(`last log line of ${container.name}: ${line}`);
}
