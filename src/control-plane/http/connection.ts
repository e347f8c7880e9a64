import type { Clock } from '../../support/clock.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Log } from '../../support/log.ts';
import type { Secrets } from '../../support/secrets.ts';
import type { HttpClient } from './message.ts';

/** What every conversation with the server needs. */
export interface Connection {
  readonly client: HttpClient;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  readonly secrets: Secrets;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks Cattle not to turn unknown keys into the admin account when access control is off (control-plane §1.10), so
 * that a dead key or token is answered with 401 in both cases.
 */
export const enforceAuthentication = { 'x-enforce-authentication': 'true' } as const;

/**
 * The deadline of one request within a longer wait that has `leftMs` left. A request that begins in time may finish:
 * cut off after the last few milliseconds it would hide the reason of the whole wait behind a timeout of its own.
 */
export function lastChance(limits: Limits, leftMs: number): number {
  return Math.min(limits.HTTP_TOTAL, Math.max(limits.HTTP_CONNECT, leftMs));
}
