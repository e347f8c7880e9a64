import { inspectOwnContainer } from '../agent/identity/self.ts';
import { roleTable } from '../agent/identity/role-table.ts';
import type { RoleNames } from '../agent/identity/roles.ts';
import { readServing } from '../agent/run/serving/file.ts';
import { connectEngine } from '../engine/docker-engine.ts';
import type { Engine } from '../engine/engine.ts';
import { nextAttemptAt, noAttempts, readAttempts } from '../host/files/attempts.ts';
import { readLockHolder, type LockHolder } from '../host/files/lock.ts';
import { isRancherFolderMounted } from '../host/mounts/rancher-folder.ts';
import { readStatus } from '../host/files/status.ts';
import { countLeaks, type LeakFigures } from '../cleanup/leak-figures.ts';
import { listLeaks } from '../cleanup/remove.ts';
import { deadlineIn, withDeadline } from '../support/deadline.ts';
import { messageOf } from '../support/errors.ts';
import { silentLog } from '../support/log.ts';
import { adoptNames, type Context } from './context.ts';
import { judgeHost } from './host-verdict.ts';
import type { Problem, RoleHolder, StatusFacts, StatusReport } from './status-report.ts';

/** Gathers what is known about this host. Nothing is changed, and nothing that fails keeps the rest from being shown. */
export async function readStatusReport(context: Context): Promise<StatusReport> {
  return reportFrom(context, async (engine) => countNow(engine, context));
}

/**
 * Shows the status again every STATUS_REFRESH until the signal is aborted or STATUS_WATCH is over. Leaked helpers, which
 * cost a long list, are counted every STATUS_LEAKS.
 */
export async function watchStatus(context: Context, show: (report: StatusReport) => void): Promise<void> {
  const { clock, signal, configuration } = context;
  const { limits } = configuration;
  const end = deadlineIn(limits.STATUS_WATCH, clock);
  let counted: { readonly leaks: LeakFigures | Problem; readonly at: number } | undefined;
  const count = async (engine: Engine): Promise<LeakFigures | Problem> => {
    if (counted === undefined || clock.elapsed() - counted.at >= limits.STATUS_LEAKS) {
      counted = { leaks: await countNow(engine, context).catch(problemOf), at: clock.elapsed() };
    }
    return counted.leaks;
  };
  while (!signal.aborted && end.left() > 0) {
    try {
      const report = await reportFrom(context, count);
      if (!isAborted(signal)) show(report);
      await clock.sleep(limits.STATUS_REFRESH, signal);
    } catch (error) {
      if (!isAborted(signal)) throw error;
    }
  }
}

async function reportFrom(
  context: Context,
  count: (engine: Engine) => Promise<LeakFigures | Problem>,
): Promise<StatusReport> {
  const { configuration, clock, signal } = context;
  const { paths, limits } = configuration;
  const engine = connect(context);
  const read = async <T>(what: string, work: () => Promise<T>): Promise<T> =>
    withDeadline(what, limits.STATUS_FILE, work, signal);
  const [status, serving, containers, leaks, lock, attempts] = await Promise.all([
    read('read the status', async () => readStatus(paths)).catch(asDamaged),
    read('read whether the agent serves', async () => readServing(paths, clock, limits)).catch(asDamaged),
    engine
      .then(async (connected) => listRoles(connected, await findNames(context, connected)))
      .catch(problemOf),
    engine.then(count).catch(problemOf),
    read('look at the lock', async () => lookAtLock(context)).catch(problemOf),
    read('read the record of attempts', async () => (await readAttempts(paths)).attempts).catch(
      () => noAttempts,
    ),
  ]);
  signal.throwIfAborted();
  const now = clock.now();
  const facts: StatusFacts = {
    status,
    serving,
    containers,
    lock,
    leaks,
    attempts: attempts.targets.map((record) => {
      const next = nextAttemptAt(record, limits, now);
      return {
        image: record.image,
        failures: record.failures,
        ...(next === undefined ? {} : { nextAt: new Date(next).toISOString() }),
      };
    }),
  };
  return { version: 2, verdict: judgeHost(facts), checkedAt: new Date(now).toISOString(), ...facts };
}

/** One try for each question: a person waits, and a sick engine is spared. */
async function connect({ configuration, version, command, clock, signal }: Context): Promise<Engine> {
  return connectEngine({
    socketPath: configuration.socketPath,
    apiVersion: configuration.apiVersion,
    userAgent: `rancher-agent-entrypoint/${version} (${command})`,
    limits: { ...configuration.limits, CALL_TRIES: 1 },
    log: silentLog,
    clock,
    signal,
  });
}

async function countNow(engine: Engine, { names, clock, configuration }: Context): Promise<LeakFigures> {
  return countLeaks(await listLeaks(engine, names), clock.now(), configuration.limits);
}

/** Typed inside an agent whose names a person chose, it shows those. */
async function findNames(context: Context, engine: Engine): Promise<RoleNames> {
  return adoptNames(context, await inspectOwnContainer(engine, context.configuration)).names;
}

async function listRoles(engine: Engine, names: RoleNames): Promise<readonly RoleHolder[]> {
  const roles = roleTable(names);
  const found = await engine.listContainers({ names: roles.flatMap(([, roleNames]) => roleNames) });
  return roles.flatMap(([role, roleNames]) =>
    found
      .filter((container) => roleNames.includes(container.name))
      .map(({ id, name, image, state }) => ({ role, name, id, image, state })),
  );
}

/** Who has the lock; a folder of our own image, where nobody mounted the host's, says nothing about it. */
async function lookAtLock({ configuration, clock }: Context): Promise<LockHolder> {
  const { paths, limits } = configuration;
  const holder = await readLockHolder(paths.entrypoint, limits, clock.now());
  if (holder.state === 'free' && !(await isRancherFolderMounted(paths)))
    throw new Error('/var/lib/rancher is not mounted');
  return holder;
}

function asDamaged(error: unknown): { readonly kind: 'damaged'; readonly reason: string } {
  return { kind: 'damaged', reason: messageOf(error) };
}

function problemOf(error: unknown): Problem {
  return { problem: messageOf(error) };
}

/** Asked anew each time: it may have been aborted while something was waited for. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
