import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { watchConnection } from '../../../../../src/agent/run/bootstrap/watch-connection.ts';
import type { ServingObserver } from '../../../../../src/agent/run/serving/record.ts';
import { silentLog } from '../../../../../src/support/log.ts';
import { readConfiguration } from '../../../../../src/support/configuration.ts';
import { startStubServer } from '../../../../support/server/stub/stub-server.ts';

const ignore = (): void => undefined;

/** Watches a bash that runs a script, for so many looks. @returns what was reported, and how long each pause was */
async function watch(script: string, looks: number): Promise<{ told: string[]; pauses: number[] }> {
  const server = await startStubServer();
  const environment = { CATTLE_URL: `${server.url}/v1` };
  const child = spawn('bash', ['-c', script, 'script', String(server.port)], { detached: true });
  await once(child.stdout, 'data');
  const exited = new AbortController();
  const told: string[] = [];
  const pauses: number[] = [];
  const serving: ServingObserver = {
    ...{ answered: ignore, unanswered: ignore, began: ignore, exited: ignore },
    ...{ cannotRun: ignore, becameUnknown: ignore },
    connection: (sight) => told.push(sight),
  };
  try {
    const clock = {
      now: () => 0,
      elapsed: () => 0,
      random: () => 0.5,
      sleep: async (ms: number, signal?: AbortSignal) => {
        if (pauses.length === looks) exited.abort();
        signal?.throwIfAborted();
        pauses.push(ms);
        return Promise.resolve();
      },
    };
    const { signal } = new AbortController();
    const configuration = readConfiguration({}, 'host');
    await watchConnection(
      { serving, clock, log: silentLog, configuration, signal },
      { pid: child.pid ?? 0, environment, exited: exited.signal },
    );
  } finally {
    process.kill(-(child.pid ?? 0), 'SIGKILL');
    await server.close();
  }
  return { told, pauses };
}

describe('the connection of a bootstrap', () => {
  it('is looked for soon after the start, then every 5 s, and reported before the first look', async () => {
    const { told, pauses } = await watch('echo ready; exec sleep 60', 6);
    expect(told).toEqual(Array(7).fill('none'));
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 5_000, 5_000]);
  });

  it('that is open is looked at every 15 s; the server may be on this machine', async () => {
    const { told, pauses } = await watch('exec 9<>/dev/tcp/127.0.0.1/$1; echo ready; exec sleep 60', 3);
    expect(told).toEqual(['none', 'open', 'open', 'open']);
    expect(pauses).toEqual([500, 15_000, 15_000]);
  });
});
