import type { ServingSummary } from '../../host/files/serving-record.ts';
import {
  readStatus,
  writeServing,
  writeStatus,
  type Asker,
  type HostStatus,
  type StatusDraft,
} from '../../host/files/status.ts';
import type { Configuration } from '../../support/configuration.ts';
import { messageOf, messageBeyond } from '../../support/errors.ts';
import { DeadlineError, withDeadline } from '../../support/deadline.ts';
import type { Log } from '../../support/log.ts';
import type { Host } from '../host.ts';
import type { UnremovableContainer } from '../transaction/apply.ts';
import type { Step } from '../transaction/steps.ts';
import { createMetricsWriter } from './metrics.ts';
import type { Outcome } from './outcome.ts';

/** Tells people how the work on this host stands: the status file and the last line of the log. */
export interface Reporter {
  /** Work is under way. */
  working(summary: string, phase: string): Promise<void>;
  /** The same, for a moment in which the host has no agent: nobody waits for the disk. Written before the next report. */
  passing(summary: string, phase: string): void;
  /** A pause between two attempts. @param until milliseconds since 1970 */
  waiting(summary: string, until: number): Promise<void>;
  /** It is over, with this result. */
  ended(outcome: Outcome): Promise<void>;
  /** The status as it stood before this work began, if it could be read. */
  readBefore(): Promise<HostStatus | undefined>;
}

/** The active agent's own reporter. */
export interface AgentReporter extends Reporter {
  /** Nothing has changed but whether the agent serves. Never throws; nothing is written while a worker is at work. */
  refreshServing(): Promise<void>;
}

export interface ReporterOptions extends Pick<Host, 'clock' | 'log' | 'secrets'> {
  readonly configuration: Pick<Configuration, 'paths' | 'limits' | 'environment'>;
  readonly command: string;
  readonly version: string;
  /** The image that is wanted, if one is. */
  readonly target?: string;
  readonly container?: string;
  /** Who asked for this work, if it is an upgrade. */
  readonly askedBy?: Asker;
  /** Of the active agent: whether it serves. */
  readonly serving?: () => ServingSummary | undefined;
}

type Draft = Pick<StatusDraft, 'state' | 'summary'> & Partial<StatusDraft>;

/** A reporter for one piece of work. A status file that cannot be written is logged once and stops nothing. */
export function createReporter(options: ReporterOptions): AgentReporter {
  const { configuration, clock, log, secrets } = options;
  const { paths, limits } = configuration;
  const writeMetrics = createMetricsWriter(options);
  let complained = false;
  /** A call to the disk was not answered in time and is still under way: no other one is waited for. */
  let silent = false;
  const isSilentUntil = (call: Promise<unknown>): void => {
    silent = true;
    const speaksAgain = (): void => {
      silent = false;
    };
    call.then(speaksAgain, speaksAgain);
  };
  let next: Draft | undefined;
  let writing: Promise<void> | undefined;
  let lastWritten: Promise<unknown> = Promise.resolve();
  const scrub = (text: string): string => secrets.scrub(text);
  /** One after the other: what an unresponsive disk still writes later must not replace a newer report. */
  const writeInTurn = async (draft: Draft): Promise<void> => {
    const written = lastWritten.then(async () =>
      writeStatus({ paths, now: clock.now(), scrub }, { ...basisOf(options), ...draft }),
    );
    lastWritten = written.catch(() => undefined);
    await written;
  };
  const refreshInTurn = async (serving: ServingSummary): Promise<void> => {
    const written = lastWritten.then(async () => writeServing({ paths, now: clock.now(), scrub }, serving));
    lastWritten = written.catch(() => undefined);
    await written;
  };
  const write = async (draft: Draft): Promise<void> => awaitDisk(writeInTurn(draft));
  const awaitDisk = async (written: Promise<void>): Promise<void> => {
    if (silent) {
      written.catch(() => undefined);
      return;
    }
    try {
      await withDeadline('write the status', limits.HOST_FILE, async () => written);
    } catch (error) {
      if (error instanceof DeadlineError) isSilentUntil(written);
      if (!complained) log.warn('the status cannot be written on this host', { error: messageOf(error) });
      complained = true;
    }
    await writeMetrics();
  };
  const writeNewest = async (): Promise<void> => {
    for (let draft = next; draft !== undefined; draft = next) {
      next = undefined;
      await write(draft);
    }
    writing = undefined;
  };
  /** Resolves when this report, or a newer one, is written. */
  const say = async (draft: Draft): Promise<void> => {
    next = draft;
    writing ??= writeNewest();
    return writing;
  };
  return {
    working: async (summary, phase) => say({ state: 'working', summary, phase }),
    passing(summary, phase) {
      void say({ state: 'working', summary, phase });
    },
    waiting: async (summary, until) =>
      say({ state: 'deferred', summary, phase: 'waiting', nextAttemptAt: new Date(until).toISOString() }),
    async ended(outcome) {
      const { unremovable, lastLog, ...rest } = outcome;
      await say({
        ...rest,
        ...(unremovable === undefined ? {} : { unremovable: unremovable.map(draftOf) }),
        ...(lastLog === undefined ? {} : { lastLog: [...lastLog] }),
      });
      tell(log, outcome, options.askedBy);
    },
    async refreshServing() {
      const serving = options.serving?.();
      // Each call that is not answered keeps one of Node's four threads, and the next report has the same in it.
      if (serving === undefined || silent || writing !== undefined) return;
      await awaitDisk(refreshInTurn(serving));
    },
    async readBefore() {
      // Each call that is not answered keeps one of Node's four threads.
      if (silent) return undefined;
      const reading = readStatus(paths);
      try {
        const found = await withDeadline('read the status', limits.HOST_FILE, async () => reading);
        return found.kind === 'valid' ? found.status : undefined;
      } catch (error) {
        if (!(error instanceof DeadlineError)) throw error;
        log.warn(error.message);
        isSilentUntil(reading);
        return undefined;
      }
    },
  };
}

/** Steps between one agent's end and the next one's promotion, in a rollback as well: nothing waits for the disk. */
const passing: readonly Step['do'][] = ['park', 'promote', 'demote', 'start'];

/** Reports the step that a transaction does now. @param summary for the status file */
export async function reportStep(reporter: Reporter, step: Step, summary: string): Promise<void> {
  if (passing.includes(step.do)) reporter.passing(summary, step.do);
  else await reporter.working(summary, step.do);
}

/** What every state of one piece of work has. */
function basisOf(
  options: ReporterOptions,
): Pick<StatusDraft, 'command' | 'entrypointVersion'> & Partial<StatusDraft> {
  const { command, version, target, container, askedBy } = options;
  const serving = options.serving?.();
  return {
    command,
    entrypointVersion: version,
    ...(target === undefined ? {} : { target }),
    ...(container === undefined ? {} : { container }),
    ...(askedBy === undefined ? {} : { askedBy }),
    ...(serving === undefined ? {} : { serving }),
  };
}

function draftOf({
  holders,
  ...container
}: UnremovableContainer): NonNullable<StatusDraft['unremovable']>[number] {
  return { ...container, ...(holders === undefined ? {} : { holders: [...holders] }) };
}

/** The last line: what happened, in whose words, and what to do. */
function tell(log: Log, outcome: Outcome, askedBy: Asker | undefined): void {
  const originalMessage = messageBeyond(outcome.summary, outcome.originalMessage);
  const parts = [
    `${outcome.state}: ${outcome.summary}`,
    originalMessage === '' ? '' : `the engine or server says: ${originalMessage}`,
    outcome.hint === undefined ? '' : `what to do: ${outcome.hint}`,
    outcome.next === undefined ? '' : `next: ${outcome.next}`,
  ];
  const line = parts.filter((part) => part !== '').join('; ');
  const fields = {
    exit: outcome.exitCode,
    ...(outcome.cause === undefined ? {} : { cause: outcome.cause }),
    ...(askedBy === undefined ? {} : { askedBy }),
  };
  if (outcome.state === 'ok') log.info(line, fields);
  else if (outcome.state === 'failed') log.error(line, fields);
  else log.warn(line, fields);
}
