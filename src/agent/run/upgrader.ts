import type { RequiredImage } from '../../control-plane/required-image.ts';
import type { Clock } from '../../support/clock.ts';
import { formatDuration } from '../../support/deadline.ts';
import { messageOf } from '../../support/errors.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Log } from '../../support/log.ts';
import { doubling } from '../../support/retry.ts';
import type { UpgradeDecision } from './upgrade-decision.ts';

export interface UpgraderParts {
  readonly decide: (required: RequiredImage) => Promise<UpgradeDecision>;
  /** Has a worker upgrade to that image. @returns its exit status */
  readonly upgrade: (image: string) => Promise<number>;
  /** What the server requires by now; undefined if it gave no whole script. */
  readonly ask: () => Promise<RequiredImage | undefined>;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Has the agent replaced when the server requires another image; one upgrade at a time, beside the bootstrap that runs.
 *
 * The server says what it requires when a bootstrap begins, which may be half a day before the next one. So an upgrade
 * that did not succeed, or was refused for now, is taken up again here, with pauses that grow; before each, the server
 * is asked again, because whoever required an image that doesn't run has often put that right by then. Ends when there
 * is nothing to do; success ends the whole agent.
 */
export class Upgrader {
  readonly #parts: UpgraderParts;
  #required: RequiredImage | undefined;
  /** Set while at it; aborting it ends the pause. */
  #pausing: AbortController | undefined;
  #attempting: Promise<number | undefined> | undefined;

  constructor(parts: UpgraderParts) {
    this.#parts = parts;
  }

  /** Settles when no attempt is under way; a pause before the next one is not waited for. */
  async idle(): Promise<void> {
    await this.#attempting;
  }

  /** Told by each bootstrap. The same as before changes nothing for an upgrade that is being tried again. */
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
        this.#parts.log.error('the upgrade that the server requires was given up; the agent runs on', {
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

  /** Whether no bootstrap has said anything else meanwhile. */
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
      return (await upgrade(decision.image)) === 0 ? undefined : clock.elapsed();
    } catch (error) {
      signal.throwIfAborted();
      log.error('the upgrade that the server requires did not succeed; the agent runs on', {
        error: messageOf(error),
      });
      return clock.elapsed();
    }
  }

  /** Ends early when a bootstrap says something else. */
  async #pause(notBefore: number, failures: number): Promise<void> {
    const { limits, clock, log, signal } = this.#parts;
    const whole = doubling(limits.ATTEMPT_PAUSE_MIN, limits.UPGRADE_RETRY_MAX)(failures);
    // Some of it is chance: hosts that failed together don't come back together.
    const pause = Math.round(Math.max(notBefore - clock.elapsed(), whole) * (1 + clock.random() / 2));
    log.info(`the server is asked again which image it requires, in ${formatDuration(pause)}`);
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
      log.info('the server could not be asked; what it required last counts', { error: messageOf(error) });
      return undefined;
    }
  }
}

function isSameRequirement(a: RequiredImage | undefined, b: RequiredImage | undefined): boolean {
  if (a?.kind !== 'image' || b?.kind !== 'image') return a?.kind === b?.kind;
  return a.image === b.image;
}
