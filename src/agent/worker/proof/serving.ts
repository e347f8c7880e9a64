import { servingUnknown, starting } from '../../run/serving/causes.ts';
import type { ServingRecord } from '../../../host/files/serving-record.ts';
import type { StateCause } from '../../../support/causes.ts';
import { reportedCause } from '../../../support/errors.ts';

/** What is known about whether an agent serves when the work on its host is over. */
export type Serving =
  | { readonly kind: 'serves' }
  /**
   * Its process has just started, and the server answers it: nothing has failed. Not a cause of a state: within SERVING_GRACE
   * the agent itself reports more.
   */
  | { readonly kind: 'starting'; readonly message: string }
  | NotServing
  /** A message never says that it serves. */
  | (Omit<NotServing, 'kind'> & { readonly kind: 'unknown' });

export interface NotServing {
  readonly kind: 'not-serving';
  /** Stable code. */
  readonly cause: StateCause;
  /** One sentence for a person. */
  readonly message: string;
  readonly hint?: string;
}

/** Whether a process has just started and has no answer of its server yet: nothing speaks for it but that it runs. */
export function isUnanswered({
  cause,
  lastAnswerAt,
}: Pick<ServingRecord, 'cause' | 'lastAnswerAt'>): boolean {
  return cause === starting && lastAnswerAt === undefined;
}

/** What a record shows at the end. */
export function servingOf(record: ServingRecord | undefined): Serving {
  if (record === undefined) {
    return {
      kind: 'unknown',
      cause: servingUnknown,
      message: 'the agent has not reported whether it serves',
    };
  }
  if (record.serving === 'yes') return { kind: 'serves' };
  const { message = 'it is not known whether the agent serves' } = record;
  if (isUnanswered(record)) {
    const message = 'its server has not answered it since it started: it is not known whether it serves';
    return { kind: 'unknown', cause: servingUnknown, message };
  }
  if (record.cause === starting) return { kind: 'starting', message };
  const cause = reportedCause(record.cause ?? servingUnknown);
  return { kind: record.serving === 'no' ? 'not-serving' : 'unknown', cause, message };
}
