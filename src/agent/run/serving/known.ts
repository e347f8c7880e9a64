import { formatAge } from '../../../support/deadline.ts';
import type { ServingReading } from './file.ts';
import type { ServingRecord } from '../../../host/files/serving-record.ts';

/** What is known of the agents that are on the host now. */
export interface KnownServing {
  readonly serving: 'yes' | 'no' | 'unknown';
  readonly cause: string | undefined;
  /** One sentence, without the subject: why not, or why it is not known. Empty when it serves. */
  readonly message: string;
  /** Left out where nobody keeps one. */
  readonly record?: ServingRecord;
}

/**
 * Whether the agent serves, as far as its record shows. Pure.
 * @param agents full ids of the agents that run on this host; undefined where they are not known
 */
export function knownServing(reading: ServingReading, agents: readonly string[] | undefined): KnownServing {
  if (agents?.length === 0) return unknown('no agent runs');
  switch (reading.kind) {
    case 'missing':
      return unknown('the agent does not say whether it serves');
    case 'damaged':
      return unknown(`the record cannot be read: ${reason(reading.reason)}`);
    case 'stale':
      return unknown('nobody has kept the record up to date');
    case 'fresh':
      break;
  }
  const { record } = reading;
  if (record.container !== '' && agents?.includes(record.container) === false) {
    return unknown('the record is of another container than the agent that runs');
  }
  const { serving, cause, message = '' } = record;
  return { serving, cause, message, record };
}

/** Last live answer, bootstrap and last exit, in one line. */
export function describeObserved({ lastAnswerAt, bootstrap }: ServingRecord, now: number): string {
  const { runningSince, failuresInARow, lastExit } = bootstrap;
  const ago = (time: string): string => `${formatAge(now - Date.parse(time))} ago`;
  const parts = [
    lastAnswerAt === undefined ? 'no live answer yet' : `last live answer ${ago(lastAnswerAt)}`,
    runningSince === undefined
      ? 'no bootstrap runs'
      : `bootstrap runs for ${formatAge(now - Date.parse(runningSince))}`,
    ...(lastExit === undefined ? [] : [`last exit ${describeExit(lastExit)} ${ago(lastExit.at)}`]),
    ...(failuresInARow === 0 ? [] : [`${failuresInARow} failed in a row`]),
  ];
  return parts.join('; ');
}

function describeExit({
  status,
  signal,
  byDesign,
}: NonNullable<ServingRecord['bootstrap']['lastExit']>): string {
  const how = signal ?? `status ${status ?? 'unknown'}`;
  return byDesign ? `${how}, by design,` : how;
}

function unknown(message: string): KnownServing {
  return { serving: 'unknown', cause: undefined, message };
}

function reason(text: string): string {
  return text.slice(0, mostShown);
}

/** Characters of a message of the system or the parser. */
const mostShown = 200;
