import { systemClock, type Clock } from '../support/clock.ts';
import { EngineUnavailableError } from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Log } from '../support/log.ts';
import { doubling, retry } from '../support/retry.ts';
import { isOutage } from './errors.ts';
import type { EngineAnswer, EngineRequest, Transport, WhenRefused } from './transport.ts';

export interface EngineOptions {
  readonly socketPath: string;
  /** Asked when nothing listens there: a daemon with live-restore has another socket after a restart. */
  readonly whenRefused?: WhenRefused;
  /** Pins the API version (`DOCKER_API_VERSION`), as far as the engine takes it. */
  readonly apiVersion: string | undefined;
  readonly userAgent: string;
  readonly limits: Limits;
  readonly log: Log;
  readonly clock?: Clock;
  /** Connections are reused. A call may then fail because the engine was restarted before it. */
  readonly keepsConnections?: boolean;
  /** Aborting it stops all present and all later calls. */
  readonly signal?: AbortSignal;
}

/** Reads are safe to repeat: an upgrade must not fail because an engine restarts or fails once. */
export async function readRepeatedly(
  options: EngineOptions,
  transport: Transport,
  request: EngineRequest,
): Promise<EngineAnswer> {
  return repeatRead(options, request, async () => transport.request(request));
}

export async function repeatRead<T>(
  options: EngineOptions,
  request: Pick<EngineRequest, 'what'>,
  read: () => Promise<T>,
): Promise<T> {
  return retry(
    {
      what: request.what,
      tries: options.limits.CALL_TRIES,
      pause: doubling(options.limits.CALL_PAUSE, options.limits.CALL_PAUSE_MAX),
      worthRetrying: isOutage,
      clock: options.clock ?? systemClock,
      log: options.log,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    },
    read,
  );
}

/** A malformed answer comes from a program between us and the engine, or from a broken engine. */
export function understand<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new EngineUnavailableError(`${what}: the answer cannot be understood`, {
      hint: 'is that really a Docker engine behind the socket? its log: journalctl -u docker',
      cause,
    });
  }
}
