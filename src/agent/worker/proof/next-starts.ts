import { describeEnd, isDead } from '../../../engine/containers.ts';
import type { ContainerDetails } from '../../../engine/engine.ts';
import { deadlineIn, type Deadline } from '../../../support/deadline.ts';
import { nextDoesNotRun, nextRemoved, nextStopped } from '../../transaction/not-ready.ts';
import { startOf, type Observed } from '../../transaction/observe.ts';
import type { Work } from '../session.ts';

/** What the engine shows of a next agent at this moment. */
export type Sight =
  /** It runs. `isNew`: this is another start than the one that was seen before. */
  | { readonly runs: true; readonly details: ContainerDetails; readonly isNew: boolean }
  /** It has no process, and may get one again. */
  | { readonly runs: false };

/** SIGKILL (a person, or the kernel when memory runs out), SIGTERM and SIGINT: somebody else has ended the process. */
const endedByOthers: readonly number[] = [128 + 9, 128 + 15, 128 + 2];

/**
 * Follows a next agent over its restarts while it has to prove that it can serve. The proof goes on with a new start, at most
 * VERIFY_RESTARTS times. What ended the former starts decides what is at fault:
 * - the image, if its process exits again and again without a signal from outside;
 * - nobody's image, if somebody removes the container, stops it, or kills its process.
 */
export class NextStarts {
  readonly #work: Work;
  readonly #next: Observed;
  #known: { readonly start: string; readonly restartCount: number };
  #restarts = 0;
  #stoppedByRequest = 0;
  /** Exit statuses by the engine's count of restarts: a process that exits at once is never seen to run. */
  readonly #exits = new Map<number, number>();
  readonly #firstCount: number;
  #gap: Deadline | undefined;

  constructor(work: Work, next: Observed) {
    this.#work = work;
    this.#next = next;
    this.#known = { start: next.start ?? '', restartCount: next.restartCount };
    this.#firstCount = next.restartCount;
  }

  /**
   * @throws NotReadyError when its process exits again and again; NotProvenError when somebody removed or stopped it, and it
   * did not come back within RESTART_GAP
   */
  async look(): Promise<Sight> {
    const now = await this.#work.engine.inspectContainer(this.#next.id);
    if (now === undefined || isDead(now)) throw nextRemoved(this.#next);
    if (now.state !== 'running') return this.#wait(now);
    this.#gap = undefined;
    const start = startOf(now);
    const isNew = start !== this.#known.start;
    if (isNew) this.#count(now, start);
    return { runs: true, details: now, isNew };
  }

  #count(now: ContainerDetails, start: string): void {
    // The engine counts its own restarts only, and `docker start` may begin again at 0.
    if (now.restartCount <= this.#known.restartCount) this.#stoppedByRequest += 1;
    this.#known = { start, restartCount: now.restartCount };
    this.#restarts += 1;
    if (this.#restarts > this.#work.configuration.limits.VERIFY_RESTARTS) throw this.#explain(now);
    this.#work.log.warn(`${this.#next.name} was restarted: its new start has to prove that it can serve`, {
      restarts: this.#restarts,
      ...(this.#exits.size > 0 && { status: [...this.#exits.values()].at(-1) }),
    });
  }

  #wait(now: ContainerDetails): Sight {
    const { clock, configuration } = this.#work;
    const isStopped = isStoppedByRequest(now);
    if (!isStopped) this.#exits.set(now.restartCount, now.exitCode);
    this.#gap ??= deadlineIn(configuration.limits.RESTART_GAP, clock);
    const comesBack = isStopped || now.state === 'restarting' || endedByOthers.includes(now.exitCode);
    const isLoop = now.restartCount - this.#firstCount > configuration.limits.VERIFY_RESTARTS;
    if (comesBack && !isLoop && this.#gap.left() > 0) return { runs: false };
    if (isStopped) throw nextStopped(this.#next, describeEnd(now));
    throw this.#explain(now);
  }

  #explain(now: ContainerDetails): Error {
    const exits = [...this.#exits.values()];
    const hasOwnExit = exits.some((status) => !endedByOthers.includes(status));
    const isOfOthers = exits.length + this.#stoppedByRequest > 0 && !hasOwnExit;
    const restarts = Math.max(this.#restarts, now.restartCount - this.#firstCount);
    const end = `${describeEnd(now)}, restarted ${restarts} times; exit statuses: ${exits.join(', ') || 'not seen'}`;
    return isOfOthers ? nextStopped(this.#next, end) : nextDoesNotRun(this.#next, end);
  }
}

/**
 * With the policy `always`, a process that exits without a request is started again at once. So the container is `exited` only if
 * somebody asked the engine to stop or kill it; `docker restart` begins with that.
 */
function isStoppedByRequest({ state, restartPolicy }: ContainerDetails): boolean {
  return state === 'paused' || (state === 'exited' && restartPolicy === 'always');
}
