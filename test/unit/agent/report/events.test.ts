import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { describeTrouble, keyOf, watchForErrors } from '../../../../src/agent/report/events.ts';
import { selectProfile } from '../../../../src/agent/identity/profile.ts';
import { writeStatus, type HostStatus } from '../../../../src/host/files/status.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { pathsBelow, readConfiguration } from '../../../../src/support/configuration.ts';
import { createLog } from '../../../../src/support/log.ts';
import { createSecrets } from '../../../../src/support/secrets.ts';
import { startStubServer, type StubOptions } from '../../../support/server/stub/stub-server.ts';
import { shortLimits } from '../../../support/server/test-connection.ts';

const keys = { accessKey: 'AGENTKEY000000000001', secretKey: 'agent-secret-key-000000000001' };
const minute = 60_000;

type Trouble = Pick<HostStatus, 'state' | 'summary'> & Partial<HostStatus>;

/** A host whose agent watches; time passes with each look, and each look may find another state. */
async function start(options: StubOptions = {}) {
  const stub = await startStubServer({ agents: [keys], ...options });
  const folder = await mkdtemp(join(tmpdir(), 'events-'));
  onTestFinished(async () => {
    await stub.close();
    await rm(folder, { recursive: true, force: true });
  });
  const paths = pathsBelow(folder);
  const secrets = createSecrets();
  const lines: string[] = [];
  let now = Date.parse('2026-01-01T00:00:00Z');

  /** Has an agent look at these states, one a minute, and end. */
  async function watch(states: readonly (Trouble | undefined)[]): Promise<void> {
    const over = new AbortController();
    const left = [...states];
    const environment = {
      CATTLE_URL: `${stub.url}/v1`,
      CATTLE_ACCESS_KEY: keys.accessKey,
      CATTLE_SECRET_KEY: keys.secretKey,
    };
    const watching = watchForErrors({
      configuration: {
        ...readConfiguration(environment, 'host'),
        paths,
        limits: { ...shortLimits, EVENT_GAP: 10 * minute },
      },
      profile: selectProfile('rancher-1.2', {}),
      log: createLog({
        format: 'text',
        debug: true,
        secrets,
        destination: { write: (line: string) => void lines.push(line) },
      }),
      secrets,
      signal: over.signal,
      clock: {
        ...systemClock,
        now: () => now,
        elapsed: () => now,
        sleep: async () => {
          if (left.length === 0) over.abort(new Error('over'));
          over.signal.throwIfAborted();
          now += minute;
          const state = left.shift();
          if (state === undefined) return;
          await writeStatus(
            { paths, now, scrub: (text) => text },
            { command: 'upgrade', entrypointVersion: '1', ...state },
          );
        },
      },
    });
    await expect(watching).rejects.toThrow('over');
  }
  const reported = (): readonly string[] =>
    stub.events.map((event) => (event as { eventType: string }).eventType);
  return { stub, watch, reported, paths, secrets, lines };
}

const failed = { state: 'failed', summary: 'the image x can not be pulled' } as const;
const degraded = {
  state: 'degraded',
  summary: 'a container can not be removed',
  originalMessage: 'device busy',
} as const;
const ok = { state: 'ok', summary: 'rancher-agent runs' } as const;
const working = { state: 'working', summary: 'at it' } as const;
const minutes = (count: number): undefined[] => Array.from({ length: count }, () => undefined);

it('a new trouble is reported once, however long it lasts', async () => {
  const { watch, reported } = await start();
  await watch([ok, failed, ...minutes(30), working, failed, ...minutes(30)]);
  expect(reported()).toEqual([`agent.error: failed: ${failed.summary}`]);
});

it('another one is reported ten minutes after the first at the earliest', async () => {
  const { watch, reported } = await start();
  await watch([failed, degraded, ...minutes(8)]);
  expect(reported()).toHaveLength(1);
  await watch(minutes(2));
  expect(reported()[1]).toBe(`agent.error: degraded: ${degraded.summary} (${degraded.originalMessage})`);
});

it('an agent that starts again, as one in trouble does, does not repeat it', async () => {
  const { watch, reported } = await start();
  await watch([failed]);
  for (let starts = 0; starts < 5; starts += 1) await watch(minutes(11));
  expect(reported()).toHaveLength(1);
});

it('the same trouble is news again when the host was well in between', async () => {
  const { watch, reported } = await start();
  await watch([failed, ok, failed, ...minutes(5)]);
  expect(reported()).toHaveLength(1);
  await watch(minutes(5));
  expect(reported()).toHaveLength(2);
});

it('a host that is well, at work or waiting says nothing, nor one with revoked keys', async () => {
  const { watch, stub } = await start();
  const deferred = { state: 'deferred', summary: 'storage is low' } as const;
  await watch([ok, working, deferred, { ...failed, cause: 'keys-revoked' }, ...minutes(20)]);
  expect(stub.requests).toEqual([]);
});

it('a server that is away is asked again, every ten minutes', async () => {
  const { watch, reported, stub } = await start();
  stub.fault('external-events', { status: 503 }, { times: 2 });
  await watch([failed, ...minutes(15)]);
  expect(stub.requests).toHaveLength(2);
  await watch(minutes(10));
  expect(reported()).toHaveLength(1);
});

it('a server that knows no such events is asked once', async () => {
  const { watch, stub } = await start({ externalEvents: false });
  await watch([failed, ...minutes(60)]);
  expect(stub.requests).toHaveLength(1);
});

it('names the host as the server knows it, and no secret', async () => {
  const { watch, stub, paths, secrets } = await start();
  await watch([ok]);
  secrets.add('very-secret-value');
  await import('node:fs/promises').then(async ({ mkdir }) => mkdir(paths.state, { recursive: true }));
  await writeFile(join(paths.state, '.docker_uuid'), '3f2a9c1e-0000-4000-8000-123456789abc\n');
  await watch([{ ...failed, summary: `it said very-secret-value ${'x'.repeat(400)}` }]);
  const [event] = stub.events as { externalId: string; eventType: string }[];
  expect(event?.externalId).toBe('3f2a9c1e-0000-4000-8000-123456789abc');
  expect(event?.eventType).toHaveLength(255);
  expect(JSON.stringify(stub.events)).not.toContain('very-secret-value');
});

it.each([
  ['person', 'failed: no such image; asked for by a person'],
  ['server', 'failed: no such image; asked for by the server'],
  ['automation', 'failed: no such image; asked for by automation'],
  [undefined, 'failed: no such image'],
] as const)('a failed upgrade says who asked for it: %s', (askedBy, text) => {
  const status = { state: 'failed', summary: 'no such image', ...(askedBy === undefined ? {} : { askedBy }) };
  expect(describeTrouble(status as HostStatus)).toBe(text);
  // Nobody asked for a server that is away.
  const away = { ...status, state: 'degraded', until: 'serving', summary: 'the agent does not serve' };
  expect(describeTrouble(away as HostStatus)).toBe('degraded: the agent does not serve');
});

it('the next try of the same error, with other ids and counts, is the same error', () => {
  const text = (id: string, times: number): string =>
    describeTrouble({
      state: 'failed',
      summary: `the new agent does not stay up: rancher-agent-next (${id}, rancher/agent:v1.2.11)`,
      originalMessage: `state exited, restarted ${times} times`,
    } as HostStatus) ?? '';
  expect(keyOf(text('0123456789ab', 1))).toBe(keyOf(text('ba9876543210', 3)));
  expect(keyOf(text('0123456789ab', 1).replace('v1.2.11', 'v1.2.10'))).not.toBe(
    keyOf(text('0123456789ab', 1)),
  );
});
