import { nextAttemptAt, readAttempts } from '../host/attempts.ts';
import { readLockHolder, type LockHolder } from '../host/lock.ts';
import { readStatus, type StatusReading } from '../host/status.ts';
import type { ContainerState, Engine } from '../engine/engine.ts';
import type { RoleNames } from '../agent/roles.ts';
import { messageOf } from '../support/errors.ts';
import { openEngine, type Context } from './context.ts';

/** What `status` shows; with `--json` exactly this. */
export interface StatusReport {
  readonly version: 1;
  readonly status: StatusReading;
  readonly containers: readonly RoleHolder[] | { readonly problem: string };
  readonly lock: LockHolder | { readonly problem: string };
  /** Targets that failed and when each may be tried again. */
  readonly attempts: readonly {
    readonly image: string;
    readonly failures: number;
    readonly nextAt?: string;
  }[];
}

export interface RoleHolder {
  readonly role: 'agent' | 'legacy agent' | 'next' | 'previous' | 'worker' | 'dead worker' | 'upgrade';
  readonly name: string;
  readonly id: string;
  readonly image: string;
  readonly state: ContainerState;
}

/** Gathers what is known about this host. Nothing is changed, and nothing that fails keeps the rest from being shown. */
export async function readStatusReport(context: Context): Promise<StatusReport> {
  const { configuration, clock } = context;
  const { paths, limits } = configuration;
  const [status, containers, lock, { attempts }] = await Promise.all([
    readStatus(paths),
    readContainers(context).catch(problemOf),
    readLockHolder(paths.entrypoint, limits, clock.now()).catch(problemOf),
    readAttempts(paths),
  ]);
  return {
    version: 1,
    status,
    containers,
    lock,
    attempts: attempts.targets.map((record) => {
      const next = nextAttemptAt(record, limits, clock.now());
      return {
        image: record.image,
        failures: record.failures,
        ...(next === undefined ? {} : { nextAt: new Date(next).toISOString() }),
      };
    }),
  };
}

async function readContainers(context: Context): Promise<readonly RoleHolder[]> {
  const engine = await openEngine(context, context.signal);
  return listRoles(engine, context.names);
}

async function listRoles(engine: Engine, names: RoleNames): Promise<readonly RoleHolder[]> {
  const roles: readonly (readonly [RoleHolder['role'], readonly string[]])[] = [
    ['agent', [names.agent]],
    ['legacy agent', names.legacyAgents],
    ['next', [names.next]],
    ['previous', names.previous],
    ['worker', [names.worker]],
    ['dead worker', [names.deadWorker]],
    ['upgrade', names.upgrades],
  ];
  const found = await engine.listContainers({ names: roles.flatMap(([, roleNames]) => roleNames) });
  return roles.flatMap(([role, roleNames]) =>
    found
      .filter((container) => roleNames.includes(container.name))
      .map(({ id, name, image, state }) => ({ role, name, id, image, state })),
  );
}

function problemOf(error: unknown): { readonly problem: string } {
  return { problem: messageOf(error) };
}
