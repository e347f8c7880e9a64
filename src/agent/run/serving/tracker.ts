import type { ConnectionSight } from '../../../host/connections.ts';
import { QueuedFile } from '../../../host/files/queued-file.ts';
import type { ServingRecord, ServingSummary } from '../../../host/files/serving-record.ts';
import type { HostStatus } from '../../../host/files/status.ts';
import { formatDuration } from '../../../support/deadline.ts';
import { messageOf } from '../../../support/errors.ts';
import { safeValue } from '../../../support/secrets.ts';
import type { Host } from '../../host.ts';
import type { AgentReporter } from '../../report/reporter.ts';
import { agentNotConnected } from './causes.ts';
import {
  decideServing,
  provenAfter,
  type Reason,
  type ServingDecision,
  type ServingFacts,
} from './decision.ts';
import type { ServingObserver } from './record.ts';
import { stateFor, type ServingView } from './state.ts';
import type { StateCause } from '../../../support/causes.ts';

export interface ServingTracking extends Pick<Host, 'clock' | 'limits' | 'log' | 'secrets'> {
  /** Origin of the server. */
  readonly server: string;
  /** Full id of our own container, and the engine's start time of it (ms since 1970); empty and 0 where unknown. */
  readonly container: string;
  readonly startedAt: number;
  /** What our container was created from, by the name that it was given; undefined where unknown. */
  readonly image: string | undefined;
  readonly files: {
    /** In our own container, for the worker that watches us. */
    readonly inside: string;
    /** On the host, for people and programs. */
    readonly onHost: string;
  };
}

/** Keeps the record of whether this agent serves, and turns it into the state of the host. */
export interface ServingTracker extends ServingObserver {
  /** Whether the last request to the server got a live answer. */
  isAnswered(): boolean;
  /** For the status file. */
  summary(): ServingSummary;
  /** Something that a restart of the container cures, or that this is over. */
  setTrouble(trouble: Reason | undefined): void;
  /** The reason of this failed upgrade is gone: its state becomes `ok` when, or as soon as, the agent serves. */
  failureIsOver(status: HostStatus, summary: string): void;
  /** Keeps record and state up to date until the signal is aborted. */
  keep(reporter: AgentReporter, signal: AbortSignal): Promise<never>;
  /** Resolves when record and state say what is known now; a disk that does not answer is waited for. */
  settled(reporter: AgentReporter): Promise<void>;
}

/** A tracker for this process. Its observations cost no disk and never throw: writing is done beside them. */
export function createServingTracker(tracking: ServingTracking): ServingTracker {
  return new Tracker(tracking);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

class Tracker implements ServingTracker {
  readonly #tracking: ServingTracking;
  readonly #facts: Mutable<ServingFacts>;
  readonly #writers: readonly QueuedFile[];
  #runs = 0;
  #good = 0;
  #lastAnswerWall: number | undefined;
  #runningSinceWall: number | undefined;
  #lastExit: ServingRecord['bootstrap']['lastExit'];
  #decision: ServingDecision;
  #sinceWall: number;
  #trouble: Reason | undefined;
  #over: ServingView['over'];
  #writtenAt = Number.NEGATIVE_INFINITY;
  #isStateDue = true;
  /** Whether a record could not be written at the last tick. */
  #wasBehind = false;
  #comparedAt = Number.NEGATIVE_INFINITY;
  /** The last report where the status cannot be read, so that it is not repeated again and again. */
  #lastReported = '';
  #telling: Promise<void> | undefined;

  constructor(tracking: ServingTracking) {
    const { clock, limits, files, log } = tracking;
    this.#tracking = tracking;
    this.#facts = {
      startedAt: clock.elapsed(),
      observed: false,
      answered: undefined,
      lastAnswerAt: undefined,
      refusal: undefined,
      cannotRun: undefined,
      unknown: undefined,
      runningSince: undefined,
      connection: undefined,
      failuresInARow: 0,
      lastGoodEnd: undefined,
      lastFailure: undefined,
      longestFailure: 0,
    };
    this.#decision = decideServing(this.#facts, clock.elapsed(), limits);
    this.#sinceWall = clock.now();
    this.#writers = [
      new QueuedFile(files.inside, { file: 0o600, folder: 0o700 }, log),
      new QueuedFile(files.onHost, { file: 0o644 }, log),
    ];
  }

  answered(): void {
    const { clock } = this.#tracking;
    const isNews = this.#facts.answered !== true;
    this.#facts.answered = true;
    this.#facts.lastAnswerAt = clock.elapsed();
    this.#lastAnswerWall = clock.now();
    this.#observe(isNews);
  }

  unanswered(cause: StateCause, message: string): void {
    const isNews = this.#facts.answered !== false || this.#facts.refusal?.cause !== cause;
    this.#facts.answered = false;
    this.#facts.refusal = { cause, message };
    this.#observe(isNews);
  }

  began(): void {
    const { clock } = this.#tracking;
    this.#runs += 1;
    this.#facts.cannotRun = undefined;
    this.#facts.runningSince = clock.elapsed();
    this.#facts.connection = undefined;
    this.#runningSinceWall = clock.now();
    this.#observe(true);
  }

  connection(sight: ConnectionSight): void {
    const { connection: before, runningSince } = this.#facts;
    if (runningSince === undefined) return;
    const isOpen = sight === 'open';
    const lastOpenAt = isOpen ? this.#tracking.clock.elapsed() : (before?.lastOpenAt ?? runningSince);
    const wasOpen = isOpen || before?.wasOpen === true;
    this.#facts.connection = sight === 'unseen' ? undefined : { isOpen, wasOpen, lastOpenAt };
    this.#observe(before?.isOpen !== this.#facts.connection?.isOpen);
  }

  isInDoubt(): boolean {
    return this.#decision.reason?.cause === agentNotConnected;
  }

  exited(exit: Parameters<ServingObserver['exited']>[0]): void {
    const { clock, limits } = this.#tracking;
    const { status, signal, ms, byDesign } = exit;
    this.#facts.runningSince = undefined;
    this.#facts.connection = undefined;
    this.#runningSinceWall = undefined;
    this.#lastExit = { at: isoOf(clock.now()), status, signal, ms: Math.round(ms), byDesign };
    if (byDesign) {
      this.#good += 1;
      this.#facts.lastGoodEnd = clock.elapsed();
      this.#facts.failuresInARow = 0;
      this.#facts.longestFailure = 0;
    } else if (this.#facts.answered === true) {
      const how = signal === null ? `status ${status ?? 'unknown'}` : signal;
      const isFirst = ms >= provenAfter(this.#facts.longestFailure, limits);
      this.#facts.failuresInARow = isFirst ? 1 : this.#facts.failuresInARow + 1;
      this.#facts.longestFailure = isFirst ? ms : Math.max(ms, this.#facts.longestFailure);
      this.#facts.lastFailure = `${how} after ${formatDuration(ms)}`;
    }
    this.#observe(true);
  }

  cannotRun(cause: StateCause, message: string): void {
    const isNews = this.#facts.cannotRun?.cause !== cause;
    this.#facts.cannotRun = { cause, message };
    this.#observe(isNews);
  }

  becameUnknown(cause: StateCause, message: string): void {
    const isNews = this.#facts.unknown === undefined;
    this.#facts.unknown = { cause, message };
    this.#observe(isNews);
  }

  setTrouble(trouble: Reason | undefined): void {
    if (trouble?.cause === this.#trouble?.cause) return;
    this.#trouble = trouble;
    this.#isStateDue = true;
  }

  failureIsOver(status: HostStatus, summary: string): void {
    this.#over = { status, summary };
    this.#isStateDue = true;
  }

  isAnswered(): boolean {
    return this.#facts.answered === true;
  }

  summary(): ServingSummary {
    const { serving, since, updatedAt, server, container, lastAnswerAt, cause, message, bootstrap } =
      this.#record();
    const { runningSince, failuresInARow, lastExit } = bootstrap;
    return {
      serving,
      since,
      updatedAt,
      server,
      container,
      ...(lastAnswerAt === undefined ? {} : { lastAnswerAt }),
      ...(cause === undefined ? {} : { cause }),
      ...(message === undefined ? {} : { message }),
      bootstrap: {
        failuresInARow,
        ...(runningSince === undefined ? {} : { runningSince }),
        ...(lastExit === undefined ? {} : { lastExit }),
      },
    };
  }

  async keep(reporter: AgentReporter, signal: AbortSignal): Promise<never> {
    const { clock, limits } = this.#tracking;
    for (;;) {
      this.#decide();
      const isBehind = this.#writers.some((writer) => writer.isBehind);
      // A full disk has room again. The state may not have been written either, so it is compared again.
      if (this.#wasBehind && !isBehind) this.#isStateDue = true;
      this.#wasBehind = isBehind;
      if (isBehind || clock.elapsed() - this.#writtenAt >= limits.SERVING_REFRESH) this.#write();
      const isDue = this.#isStateDue || clock.elapsed() - this.#comparedAt >= limits.HOUSEKEEPING;
      if (isDue) void this.#beginToTell(reporter);
      await clock.sleep(limits.SERVING_TICK, signal);
    }
  }

  async settled(reporter: AgentReporter): Promise<void> {
    this.#decide();
    this.#write();
    await this.#beginToTell(reporter);
    await Promise.all(this.#writers.map(async (writer) => writer.idle()));
  }

  #observe(isNews: boolean): void {
    this.#facts.observed = true;
    const hasChanged = this.#decide();
    if (isNews && !hasChanged) this.#write();
  }

  /** Decides again; what is new is written at once. @returns whether it is new */
  #decide(): boolean {
    const { clock, limits, log } = this.#tracking;
    const before = this.#decision;
    const decision = decideServing(this.#facts, clock.elapsed(), limits);
    const isOther = decision.serving !== before.serving;
    const hasChanged = isOther || decision.reason?.cause !== before.reason?.cause;
    this.#decision = decision;
    if (!hasChanged) return false;
    if (isOther) this.#sinceWall = clock.now();
    const why = decision.reason === undefined ? {} : { cause: decision.reason.cause };
    log.info(describe(decision), why);
    this.#isStateDue = true;
    this.#write();
    return true;
  }

  #write(): void {
    const { clock, secrets } = this.#tracking;
    this.#writtenAt = clock.elapsed();
    const text = `${JSON.stringify(this.#record(), safeValue(secrets), 2)}\n`;
    for (const writer of this.#writers) writer.put(text);
  }

  /** One at a time: it reads the disk, which may not answer. Fulfilled in any case. */
  async #beginToTell(reporter: AgentReporter): Promise<void> {
    this.#telling ??= this.#tellState(reporter)
      .catch((error: unknown) => {
        this.#tracking.log.warn('the state of this host could not be compared with what the agent observes', {
          error: messageOf(error),
        });
      })
      .finally(() => (this.#telling = undefined));
    return this.#telling;
  }

  async #tellState(reporter: AgentReporter): Promise<void> {
    this.#isStateDue = false;
    this.#comparedAt = this.#tracking.clock.elapsed();
    const before = await reporter.readBefore();
    const { server, image } = this.#tracking;
    const view = { decision: this.#decision, server, image, trouble: this.#trouble, over: this.#over };
    const step = stateFor(before, view);
    if (step.do === 'nothing') return;
    if (step.do === 'refresh') {
      if (before !== undefined && this.#isOld(before.serving)) await reporter.refreshServing();
      return;
    }
    const { state, cause = '' } = step.outcome;
    const key = `${state} ${cause}`;
    if (before === undefined && this.#lastReported === key) return;
    this.#lastReported = key;
    if (state === 'ok') this.#over = undefined;
    await reporter.ended(step.outcome);
  }

  /** Whether the status file says something else about serving than we know. */
  #isOld(written: ServingSummary | undefined): boolean {
    const { serving, reason } = this.#decision;
    return (
      written?.serving !== serving ||
      written.cause !== reason?.cause ||
      written.container !== this.#tracking.container
    );
  }

  #record(): ServingRecord {
    const { clock, container, startedAt, server } = this.#tracking;
    const { serving, reason } = this.#decision;
    const { answered, runningSince, connection, failuresInARow } = this.#facts;
    return {
      version: 1,
      container,
      startedAt,
      serving,
      since: isoOf(this.#sinceWall),
      updatedAt: isoOf(clock.now()),
      updatedElapsed: clock.elapsed(),
      server,
      ...(this.#lastAnswerWall === undefined ? {} : { lastAnswerAt: isoOf(this.#lastAnswerWall) }),
      ...(answered === undefined ? {} : { answered }),
      ...(reason === undefined ? {} : { cause: reason.cause, message: reason.message }),
      bootstrap: {
        runs: this.#runs,
        ...(this.#runningSinceWall === undefined || runningSince === undefined
          ? {}
          : { runningSince: isoOf(this.#runningSinceWall), runningSinceElapsed: runningSince }),
        ...(connection === undefined ? {} : { connection: connection.isOpen ? 'open' : 'none' }),
        failuresInARow,
        good: this.#good,
        ...(this.#lastExit === undefined ? {} : { lastExit: this.#lastExit }),
      },
    };
  }
}

function describe({ serving, reason }: ServingDecision): string {
  if (serving === 'yes') return 'the agent serves';
  const why = reason === undefined ? '' : `: ${reason.message}`;
  return serving === 'no' ? `the agent does not serve${why}` : `whether the agent serves is not known${why}`;
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
