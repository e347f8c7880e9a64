import type { RequiredImage } from '../../control-plane/required-image.ts';
import { formatDuration } from '../../support/deadline.ts';
import { CannotChangeError, messageOf } from '../../support/errors.ts';
import { doubling } from '../../support/retry.ts';
import type { ContainerDetails } from '../../engine/engine.ts';
import { StorageLowError } from '../../host/errors.ts';
import type { Host } from '../host.ts';
import { workerImageOf } from '../identity/self.ts';
import { judgeError } from '../report/outcome.ts';
import type { Reporter } from '../report/reporter.ts';
import { delegate, type Caller } from '../worker/delegate.ts';
import { workerVariables } from '../worker/request.ts';
import { requirePoolRoom } from '../worker/storage-guard.ts';
import { askRequiredImage } from './bootstrap/bootstrap-loop.ts';
import type { ServingTracker } from './serving/tracker.ts';
import { decideUpgrade, type UpgradeDecision } from './upgrade-decision.ts';

export interface UpgraderParts extends Pick<Host, 'limits' | 'clock' | 'log' | 'signal'> {
  readonly decide: (required: RequiredImage) => Promise<UpgradeDecision>;
  /** Has a worker upgrade to that image. @returns its exit status */
  readonly upgrade: (targetImage: string) => Promise<number>;
  /** What the server requires by now; undefined if it gave no whole script. */
  readonly ask: () => Promise<RequiredImage | undefined>;
}

/**
 * Has the agent replaced when the server requires another image; one upgrade at a time, beside the bootstrap that runs.
 *
 * The server says what it requires when a bootstrap begins, which may be half a day before the next one. So an upgrade
 * that did not succeed, or was refused for now, is tried again here, with pauses that grow. Before each try the server is
 * asked again: a person who required an image that does not run has often corrected that by then. Stops when there is
 * nothing to do; after a success the worker stops the whole agent.
 */
export class Upgrader {
  readonly #parts: UpgraderParts;
  #required: RequiredImage | undefined;
  /** Set while an upgrade is tried; aborting it stops the pause. */
  #pausing: AbortController | undefined;
  #attempting: Promise<number | undefined> | undefined;

  constructor(parts: UpgraderParts) {
    this.#parts = parts;
  }

  /** Resolves when no attempt is under way; a pause before the next one is not waited for. */
  async idle(): Promise<void> {
    await this.#attempting;
  }

  /** Called by each bootstrap. The same as before changes nothing for an upgrade that is being tried again. */
  require(required: RequiredImage): void {
    const isSame = isSameRequirement(required, this.#required);
    this.#required = required;
    if (this.#pausing === undefined) this.#begin();
    else if (!isSame) this.#pausing.abort(new Error('the server requires something else'));
  }

  #begin(): void {
    this.#pausing = new AbortController();
    this.#pursue()
      .catch((error: unknown) => {
        if (this.#parts.signal.aborted) return;
        this.#parts.log.error('giving up the upgrade that the server requires; the agent keeps running', {
          error: messageOf(error),
        });
      })
      .finally(() => (this.#pausing = undefined));
  }

  async #pursue(): Promise<void> {
    for (let failures = 1; ; failures += 1) {
      const required = this.#required;
      this.#attempting = required === undefined ? undefined : this.#attempt(required);
      const notBefore = await this.#attempting;
      if (this.#isStill(required)) {
        if (notBefore === undefined) return;
        await this.#pause(notBefore, failures);
      }
      if (!this.#isStill(required)) {
        failures = 0;
        continue;
      }
      const asked = await this.#askQuietly();
      if (asked !== undefined && this.#isStill(required)) this.#required = asked;
    }
  }

  /** Whether no bootstrap has brought another requirement meanwhile. */
  #isStill(required: RequiredImage | undefined): boolean {
    return isSameRequirement(required, this.#required);
  }

  /**
   * @returns undefined when there is nothing left to do, else the time before which it is not worth trying again: by the clock
   * that nobody sets, since it is waited for in this process
   */
  async #attempt(required: RequiredImage): Promise<number | undefined> {
    const { decide, upgrade, clock, signal, log } = this.#parts;
    try {
      const decision = await decide(required);
      if (decision.do === 'nothing') return undefined;
      if (decision.do === 'wait') return clock.elapsed() + (decision.until - clock.now());
      return (await upgrade(decision.targetImage)) === 0 ? undefined : clock.elapsed();
    } catch (error) {
      signal.throwIfAborted();
      log.error('the upgrade that the server requires failed; the agent keeps running', {
        error: messageOf(error),
      });
      return clock.elapsed();
    }
  }

  /** Ends early when a bootstrap says something else. */
  async #pause(notBefore: number, failures: number): Promise<void> {
    const { limits, clock, log, signal } = this.#parts;
    const whole = doubling(limits.ATTEMPT_PAUSE_MIN, limits.UPGRADE_RETRY_MAX)(failures);
    // Some of it is chance: hosts that failed together do not come back together.
    const pause = Math.round(Math.max(notBefore - clock.elapsed(), whole) * (1 + clock.random() / 2));
    log.info(`asking the server again which image it requires, in ${formatDuration(pause)}`);
    const pausing = (this.#pausing = new AbortController());
    try {
      await clock.sleep(pause, AbortSignal.any([signal, pausing.signal]));
    } catch (error) {
      if (signal.aborted || !pausing.signal.aborted) throw error;
    }
  }

  async #askQuietly(): Promise<RequiredImage | undefined> {
    const { ask, signal, log } = this.#parts;
    try {
      return await ask();
    } catch (error) {
      signal.throwIfAborted();
      log.info('could not reach the server; keeping its last required image', { error: messageOf(error) });
      return undefined;
    }
  }
}

function isSameRequirement(a: RequiredImage | undefined, b: RequiredImage | undefined): boolean {
  if (a?.kind !== 'image' || b?.kind !== 'image') return a?.kind === b?.kind;
  return a.image === b.image;
}

/** An upgrader that asks the server of this agent, and has a worker replace the agent. */
export function createUpgrader(
  caller: Caller & Host,
  agent: {
    readonly own: ContainerDetails | undefined;
    /** The image that this agent runs from, as it was named. */
    readonly image: string;
    readonly reporter: Reporter;
    readonly serving: Pick<ServingTracker, 'failureIsOver'>;
  },
): Upgrader {
  const { own, image, reporter, serving } = agent;
  return new Upgrader({
    ...caller,
    decide: async (required) =>
      decideUpgrade({ ...caller, reporter, serving }, required, { image, imageId: own?.imageId }),
    upgrade: async (targetImage) => {
      try {
        await requirePoolRoom(caller.engine, own, caller.limits);
        const workerImage = await workerImageOf(caller.engine, own, image);
        const about = { [workerVariables.askedBy]: 'server' };
        return await delegate(caller, { task: 'upgrade', workerImage, own, targetImage, about });
      } catch (error) {
        await reportWithoutWorker(reporter, error, image);
        throw error;
      }
    },
    ask: async () => askRequiredImage(caller, image),
  });
}

/** A worker reports its own outcome. Where none could be created nobody else does. */
async function reportWithoutWorker(reporter: Reporter, error: unknown, image: string): Promise<void> {
  if (!(error instanceof StorageLowError || error instanceof CannotChangeError)) return;
  const outcome = judgeError(error);
  await reporter.ended({ ...outcome, summary: `${outcome.summary}; the agent (${image}) keeps running` });
}
