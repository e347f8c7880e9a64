import { createHttpClient } from '../../../src/control-plane/http/client.ts';
import type { Trust } from '../../../src/control-plane/http/message.ts';
import type { Connection } from '../../../src/control-plane/http/connection.ts';
import { systemClock, type Clock } from '../../../src/support/clock.ts';
import { defaultLimits, type Limits } from '../../../src/support/limits/limits.ts';
import { createLog } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';

/** Every limit is short enough for a test, and none is switched off. */
export const shortLimits: Limits = {
  ...defaultLimits,
  HTTP_CONNECT: 300,
  HTTP_TOTAL: 400,
  HTTP_BODY: 200_000,
  HTTP_RETRY_PAUSE_MIN: 1,
  HTTP_RETRY_PAUSE_MAX: 20,
  SERVER_TRIES: 4,
  SERVER_PAUSE: 5,
  SERVER_TOTAL: 3_000,
  REGISTER_TOTAL: 600,
  REGISTER_POLL_MIN: 1,
  REGISTER_POLL_MAX: 10,
  RESOLVE_TOTAL: 600,
};

export interface TestConnectionOptions {
  readonly limits?: Partial<Limits>;
  readonly clock?: Clock;
  readonly environment?: Readonly<Record<string, string>>;
  readonly trust?: Trust;
  readonly signal?: AbortSignal;
}

/** A connection with short limits whose log lines (scrubbed, as operators see them) are kept. */
export function createTestConnection(options: TestConnectionOptions = {}): Connection & { lines: string[] } {
  const lines: string[] = [];
  const secrets = createSecrets();
  const parts = {
    limits: { ...shortLimits, ...options.limits },
    clock: options.clock ?? systemClock,
    log: createLog({
      format: 'text',
      debug: true,
      secrets,
      destination: { write: (line: string) => void lines.push(line) },
    }),
    secrets,
    signal: options.signal,
  };
  const client = createHttpClient({ ...parts, environment: options.environment ?? {}, trust: options.trust });
  return { ...parts, client, lines };
}

/** The error that a promise rejects with. Fails when the promise does not reject. */
export async function rejectionOf(promise: Promise<unknown>): Promise<Error> {
  const settled = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('value' in settled) throw new Error(`expected a rejection, got ${JSON.stringify(settled.value)}`);
  if (!(settled.error instanceof Error)) throw new Error('rejected with something that is no error');
  return settled.error;
}
