import type { ContainerDetails } from '../../engine/engine.ts';
import { deadlineIn } from '../../support/deadline.ts';
import { messageOf, TryAgainLaterError } from '../../support/errors.ts';
import type { Host } from '../host.ts';
import { findManaged } from '../identity/find-managed.ts';
import type { RoleNames } from '../identity/roles.ts';

/** The role that a container's name gives to the `run` inside it. */
export type StandbyRole = 'agent' | 'next' | 'previous' | 'other';

/** The role of that name; by its ending, because an entrypoint of another profile may have parked us. */
export function roleOf(name: string, names: RoleNames): StandbyRole {
  if (name === names.agent || names.legacyAgents.includes(name)) return 'agent';
  if (names.nexts.includes(name) || /-next(-\d)?$/.test(name)) return 'next';
  return names.previous.includes(name) || /-previous(-\d)?$/.test(name) ? 'previous' : 'other';
}

export interface StandingBy extends Pick<Host, 'engine' | 'names' | 'limits' | 'clock' | 'log' | 'signal'> {
  readonly own: ContainerDetails;
  /** Has a worker finish the transaction that we are part of; the signal stops the waiting, not the worker. */
  readonly reconcile: (signal: AbortSignal) => Promise<void>;
}

/**
 * Waits until our container has the agent's name. A `run` that finds itself under another role's name (a new agent
 * before its promotion, or one that an engine started at boot) is not active: else two agents would use the same keys. If
 * nobody is at work, it has the transaction finished, by our promotion or our removal. Where neither is possible, because
 * an unmanaged or a dead container keeps the name, an agent under a wrong name is better than none.
 *
 * @throws TryAgainLaterError when nothing comes of it within the worker's time; Docker then starts us again
 */
export async function waitForPromotion(standing: StandingBy): Promise<void> {
  const { names, log, own } = standing;
  if (isActiveName(own.name, names)) return;
  log.info(`on standby as ${own.name}: only the agent with the name ${names.agent} is active`);
  const watch = watchRename(standing);
  try {
    await standBy(standing, watch);
  } finally {
    watch.takeDown();
  }
}

async function standBy(standing: StandingBy, watch: RenameWatch): Promise<void> {
  const { names, limits, clock, log, own } = standing;
  const deadline = deadlineIn(limits.WORKER_TOTAL, clock);
  let aloneSince = clock.elapsed();
  let reconciliations = 0;
  while (deadline.left() > 0) {
    await watch.renamed();
    const name = await readOwnName(standing);
    if (name !== undefined && isActiveName(name, names)) return;
    if (clock.elapsed() - aloneSince < limits.STANDBY_ALONE) continue;
    if (reconciliations >= limits.STANDBY_TRIES && name !== undefined && (await isVacant(standing, name))) {
      log.error(`the name ${names.agent} is not free: this agent is active as ${name} instead`);
      return;
    }
    if (await isPromotedDuring(standing, watch, async (signal) => reconcileQuietly(standing, signal))) return;
    reconciliations += 1;
    aloneSince = clock.elapsed();
  }
  throw new TryAgainLaterError(`still on standby as ${own.name}`, {
    hint: `see docker exec ${own.name} /run.sh status`,
  });
}

/** Our own name now; undefined while the engine does not say. An engine that does not answer is waited for here. */
async function readOwnName({ engine, own, log, signal }: StandingBy): Promise<string | undefined> {
  try {
    return (await engine.inspectContainer(own.id))?.name;
  } catch (error) {
    signal.throwIfAborted();
    log.debug('the engine does not say the name of this container', { error: messageOf(error) });
    return undefined;
  }
}

/**
 * Does `work`, which may take as long as a worker, and looks at our own name meanwhile: where stopping the old agent takes
 * long, the promotion comes while we follow the worker, and the host has no active agent until we notice.
 * @returns whether we were promoted; the signal of `work` is then aborted, and nobody waits for it
 */
async function isPromotedDuring(
  standing: StandingBy,
  watch: RenameWatch,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  const over = new AbortController();
  const signal = AbortSignal.any([standing.signal, over.signal]);
  const working = work(signal).then(() => 'done' as const);
  working.catch(() => undefined);
  try {
    for (;;) {
      const first = await Promise.race([working, watch.renamed().then(() => 'look' as const)]);
      if (first === 'done') return false;
      const named = readOwnName(standing);
      const seen = await Promise.race([working, named]);
      if (seen === 'done') return false;
      if (seen !== undefined && isActiveName(seen, standing.names)) return true;
    }
  } finally {
    over.abort(new Error('the standby is over'));
  }
}

interface RenameWatch {
  /** Resolves when the engine has reported a new name of our container, and every ROLE_POLL in any case. */
  renamed(): Promise<void>;
  takeDown(): void;
}

/** The host has no agent until we notice a promotion: so the engine's events report it. */
function watchRename({ engine, limits, clock, log, signal, own }: StandingBy): RenameWatch {
  const over = new AbortController();
  let pulled = Promise.withResolvers<undefined>();
  // Counted, so that none is missed that comes while nobody waits.
  let rings = 0;
  let heard = 0;
  const ring = (): void => {
    rings += 1;
    pulled.resolve(undefined);
    pulled = Promise.withResolvers();
  };
  const following = engine.followRenames(own.id, ring, AbortSignal.any([signal, over.signal]));
  following.catch((error: unknown) => {
    if (!over.signal.aborted && !signal.aborted) {
      log.debug('the engine does not report new names; looking now and then', { error: messageOf(error) });
    }
  });
  return {
    async renamed() {
      const turn = new AbortController();
      const sleeping = clock.sleep(limits.ROLE_POLL, AbortSignal.any([signal, turn.signal]));
      try {
        if (rings === heard) await Promise.race([sleeping, pulled.promise]);
      } finally {
        heard = rings;
        sleeping.catch(() => undefined);
        turn.abort(new Error('the engine reported a new name'));
      }
    },
    takeDown() {
      over.abort(new Error('the standby is over'));
    },
  };
}

/** Any name but those of the other roles: people run agents under names of their own. */
export function isActiveName(name: string, names: RoleNames): boolean {
  const role = roleOf(name, names);
  return role === 'agent' || role === 'other';
}

/**
 * Whether no agent acts: of several on standby, one that was active before comes first. An unmanaged container with one of
 * our names acts for nobody.
 */
async function isVacant({ engine, names }: StandingBy, ownName: string): Promise<boolean> {
  const elders = roleOf(ownName, names) === 'next' ? names.previous : namesBefore(ownName, names.previous);
  const agents = await findManaged(engine, names, [names.agent, ...elders]);
  return !agents.some(({ state }) => state === 'running' || state === 'restarting');
}

function namesBefore(name: string, pool: readonly string[]): readonly string[] {
  return pool.slice(0, Math.max(0, pool.indexOf(name)));
}

/** Follows the worker that runs, or creates one. It reports its own failure; we look again. */
async function reconcileQuietly(standing: StandingBy, signal: AbortSignal): Promise<void> {
  try {
    await standing.reconcile(signal);
  } catch (error) {
    standing.signal.throwIfAborted();
    if (signal.aborted) return;
    standing.log.warn('the transaction is not finished yet', { error: messageOf(error) });
  }
}
