import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createReporter, type AgentReporter } from '../../../../../src/agent/report/reporter.ts';
import { readServing, servingFileOf } from '../../../../../src/agent/run/serving/file.ts';
import { servingRecordSchema, type ServingRecord } from '../../../../../src/host/files/serving-record.ts';
import { createServingTracker, type ServingTracker } from '../../../../../src/agent/run/serving/tracker.ts';
import {
  readStatus,
  writeStatus,
  type HostStatus,
  type StatusDraft,
} from '../../../../../src/host/files/status.ts';
import type { Clock } from '../../../../../src/support/clock.ts';
import { pathsBelow, type Paths } from '../../../../../src/support/configuration.ts';
import { defaultLimits as limits } from '../../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../../src/support/log.ts';
import { createSecrets } from '../../../../../src/support/secrets.ts';

const minute = 60_000;
const startOfTime = Date.parse('2026-01-01T00:00:00Z');

let folder: string;
let paths: Paths;
let inside: string;
let elapsed: number;
let tracker: ServingTracker;
let reporter: AgentReporter;
let ending: AbortController;

/** Time passes when a test says so; sleepers wake up then. */
let wakers: (() => void)[];
const clock: Clock = {
  now: () => startOfTime + elapsed,
  elapsed: () => elapsed,
  random: () => 0.5,
  sleep: async (_ms, signal) =>
    new Promise((resolve, reject) => {
      wakers.push(resolve);
      signal?.addEventListener('abort', () => {
        reject(new Error('aborted'));
      });
    }),
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'serving-'));
  paths = pathsBelow(folder);
  inside = join(folder, 'container/run/serving.json');
  elapsed = 1_000;
  wakers = [];
  ending = new AbortController();
  const secrets = createSecrets();
  secrets.add('topsecretkey12345');
  const configuration = { paths, limits, environment: {} };
  const basis = { clock, log: silentLog, secrets };
  tracker = createServingTracker({
    ...basis,
    limits,
    server: 'https://rancher.example',
    container: 'c'.repeat(64),
    startedAt: startOfTime,
    image: 'rancher/agent:b',
    files: { inside, onHost: servingFileOf(paths) },
  });
  reporter = createReporter({
    ...basis,
    configuration,
    command: 'run',
    version: '1',
    serving: () => tracker.summary(),
  });
});
afterEach(async () => {
  ending.abort();
  // What was observed last may still be on its way to the disk.
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
});

function keep(): void {
  tracker.keep(reporter, ending.signal).catch(() => undefined);
}

/** Lets time pass, and the tracker look. */
async function pass(ms: number): Promise<void> {
  await expect.poll(() => wakers.length).toBe(1);
  elapsed += ms;
  for (const wake of wakers.splice(0)) wake();
}

async function record(file = servingFileOf(paths)): Promise<ServingRecord> {
  return v.parse(servingRecordSchema, JSON.parse(await readFile(file, 'utf8')));
}

async function status(): Promise<HostStatus | undefined> {
  const reading = await readStatus(paths);
  return reading.kind === 'valid' ? reading.status : undefined;
}

async function worker(draft: Partial<StatusDraft> & Pick<StatusDraft, 'state'>): Promise<void> {
  await writeStatus(
    { paths, now: clock.now(), scrub: (text) => text },
    { summary: 'a worker says', command: 'upgrade', entrypointVersion: '1', ...draft },
  );
}

const failure = { status: 1, signal: null, ms: 6, byDesign: false } as const;

describe('the record of serving', () => {
  it('follows an agent from its first answer to its first exit by design', async () => {
    tracker.answered();
    tracker.began();
    await expect.poll(async () => (await record()).bootstrap.runs).toBe(1);
    expect(await record()).toMatchObject({ serving: 'unknown', cause: 'starting', answered: true });
    keep();
    await pass(limits.BOOTSTRAP_WATCH);
    await expect.poll(async () => (await record()).serving).toBe('yes');
    const serves = await record();
    expect(serves).toMatchObject({
      container: 'c'.repeat(64),
      startedAt: startOfTime,
      server: 'https://rancher.example',
      since: '2026-01-01T00:01:01.000Z',
      bootstrap: { runs: 1, good: 0, failuresInARow: 0, runningSinceElapsed: 1_000 },
    });
    expect(serves).not.toHaveProperty('cause');
    tracker.exited({ status: 0, signal: null, ms: 60_000, byDesign: true });
    await expect.poll(async () => (await record()).bootstrap.good).toBe(1);
    const after = await record();
    expect(after).toMatchObject({ serving: 'yes', since: serves.since });
    expect(after.bootstrap).not.toHaveProperty('runningSince');
    expect(after.bootstrap.lastExit).toMatchObject({ status: 0, ms: 60_000, byDesign: true });
  });

  it('does not say that an agent serves whose bootstrap never connects, until it does', async () => {
    tracker.answered();
    tracker.began();
    tracker.connection?.('none');
    keep();
    await pass(limits.BOOTSTRAP_WATCH);
    await expect.poll(async () => (await record()).message).toMatch(/not connected to the server yet/);
    await pass(limits.CONNECTION_PATIENCE);
    await expect.poll(async () => (await record()).cause).toBe('agent-not-connected');
    expect(await record()).toMatchObject({ serving: 'unknown', bootstrap: { connection: 'none' } });
    tracker.connection?.('open');
    await expect.poll(async () => (await record()).serving).toBe('yes');
    expect((await record()).bootstrap.connection).toBe('open');
    tracker.connection?.('unseen');
    await expect.poll(async () => (await record()).bootstrap).not.toHaveProperty('connection');
    expect((await record()).serving).toBe('yes');
  });

  it('stands in the container for root alone, and on the host for everybody, without secrets', async () => {
    tracker.unanswered('server-unreachable', 'refused for topsecretkey12345');
    elapsed += 5 * minute;
    tracker.unanswered('server-unreachable', 'refused for topsecretkey12345');
    for (const file of [inside, servingFileOf(paths)]) {
      await expect.poll(async () => (await record(file)).message).toContain('refused for');
      expect(await readFile(file, 'utf8')).not.toContain('topsecret');
    }
    expect((await stat(inside)).mode & 0o777).toBe(0o600);
    expect((await stat(join(inside, '..'))).mode & 0o777).toBe(0o700);
    expect((await stat(servingFileOf(paths))).mode & 0o777).toBe(0o644);
  });

  it('counts exits with an error only while the server answers', () => {
    tracker.answered();
    for (let run = 0; run < 2; run += 1) tracker.exited(failure);
    expect(tracker.summary().bootstrap.failuresInARow).toBe(2);
    tracker.unanswered('server-unreachable', 'no answer');
    tracker.exited(failure);
    expect(tracker.summary().bootstrap.failuresInARow).toBe(2);
    tracker.answered();
    tracker.exited(failure);
    expect(tracker.summary()).toMatchObject({ serving: 'no', cause: 'bootstrap-fails' });
    tracker.exited({ ...failure, ms: limits.BOOTSTRAP_WATCH });
    expect(tracker.summary().bootstrap.failuresInARow).toBe(1);
    tracker.exited({ ...failure, status: 0, byDesign: true });
    expect(tracker.summary().bootstrap.failuresInARow).toBe(0);
  });

  // A proxy that swallows the upgrade to a websocket: the server's agent waits for a minute, and exits with 1, for ever.
  it('does not serve when each run exits with an error after a little more than a minute', () => {
    tracker.answered();
    for (let run = 0; run < 3; run += 1) {
      tracker.began();
      elapsed += limits.BOOTSTRAP_WATCH + 400;
      tracker.exited({ ...failure, ms: limits.BOOTSTRAP_WATCH + 400 });
    }
    expect(tracker.summary()).toMatchObject({ serving: 'no', cause: 'bootstrap-fails' });
    tracker.began();
    elapsed += limits.BOOTSTRAP_WATCH + 300;
    expect(tracker.summary()).toMatchObject({ serving: 'no', cause: 'bootstrap-fails' });
  });

  it('is written about once a minute when nothing changes, and then says that it is fresh', async () => {
    keep();
    await expect.poll(async () => (await record()).updatedElapsed).toBe(1_000);
    await pass(limits.SERVING_REFRESH / 2);
    await expect.poll(() => wakers.length).toBe(1);
    expect((await record()).updatedElapsed).toBe(1_000);
    await pass(limits.SERVING_REFRESH / 2);
    await expect.poll(async () => (await record()).updatedElapsed).toBe(1_000 + limits.SERVING_REFRESH);
    expect((await readServing(paths, clock, limits)).kind).toBe('fresh');
    elapsed += limits.SERVING_STALE;
    expect((await readServing(paths, clock, limits)).kind).toBe('stale');
    // The host has been started again.
    elapsed = 10;
    expect((await readServing(paths, clock, limits)).kind).toBe('stale');
  });

  it('that cannot be written is no trouble for the loop that is observed', async () => {
    await writeFile(join(folder, 'entrypoint'), 'a file in the place of the folder');
    tracker.answered();
    tracker.began();
    await expect.poll(async () => (await record(inside)).bootstrap.runs).toBe(1);
    expect(tracker.summary().server).toBe('https://rancher.example');
  });

  it('is written at the next tick when the disk has room again, and the state with it', async () => {
    await writeFile(join(folder, 'entrypoint'), 'a file in the place of the folder');
    await writeFile(join(folder, 'container'), 'a file in the place of the folder');
    keep();
    tracker.answered();
    tracker.began();
    await pass(limits.BOOTSTRAP_WATCH);
    await rm(join(folder, 'entrypoint'));
    await rm(join(folder, 'container'));
    await worker({ state: 'degraded', until: 'serving' });
    for (let ticks = 0; ticks < 3; ticks += 1) await pass(limits.SERVING_TICK);
    await expect.poll(async () => (await record(inside)).bootstrap.runs).toBe(1);
    await expect.poll(async () => (await record()).serving).toBe('yes');
    await expect.poll(async () => (await status())?.state).toBe('ok');
  });
});

describe('a record on the host that somebody has damaged', () => {
  it.each([
    ['a pipe', () => execFileSync('mkfifo', [servingFileOf(paths)])],
    ['half a record', async () => writeFile(servingFileOf(paths), '{"version":1,')],
    ['a record of something else', async () => writeFile(servingFileOf(paths), '{"version":7}')],
    ['no end', async () => writeFile(servingFileOf(paths), 'x'.repeat(limits.SERVING_FILE + 1))],
  ])('is %s: nobody hangs, and it is damaged', async (_title, damage) => {
    await mkdir(paths.entrypoint, { recursive: true });
    await damage();
    expect((await readServing(paths, clock, limits)).kind).toBe('damaged');
  });
});

describe('the state of the host', () => {
  it('becomes degraded when the server has been away, and ok when the agent serves again', async () => {
    await worker({ state: 'ok' });
    keep();
    tracker.unanswered('server-unreachable', 'https://rancher.example does not answer');
    await pass(limits.SERVING_GRACE);
    await expect.poll(async () => (await status())?.state).toBe('degraded');
    expect(await status()).toMatchObject({
      cause: 'server-unreachable',
      command: 'run',
      until: 'serving',
      serving: { serving: 'no', cause: 'server-unreachable', server: 'https://rancher.example' },
    });
    await expect
      .poll(async () => (await readFile(join(paths.entrypoint, 'state'), 'utf8')).trim())
      .toBe('degraded');
    tracker.answered();
    tracker.began();
    await pass(limits.BOOTSTRAP_WATCH);
    await expect.poll(async () => (await status())?.state).toBe('ok');
    expect(await status()).toMatchObject({ serving: { serving: 'yes' } });
  });

  it('says whether the agent serves beside a failed upgrade, and changes nothing else of it', async () => {
    await worker({
      state: 'failed',
      cause: 'cannot-change',
      target: 'rancher/agent:typo',
      askedBy: 'server',
    });
    const { ...before } = await status();
    keep();
    tracker.answered();
    tracker.began();
    await pass(limits.BOOTSTRAP_WATCH);
    await expect.poll(async () => (await status())?.serving?.serving).toBe('yes');
    expect(await status()).toEqual({ ...before, serving: expect.anything() as unknown });
  });

  it('of a worker at work is not touched, and follows within seconds of its end', async () => {
    await worker({ state: 'working', phase: 'verify' });
    keep();
    tracker.cannotRun('no-bash', 'there is no bash in this image');
    await pass(limits.SERVING_TICK);
    await expect.poll(async () => (await record()).serving).toBe('no');
    expect(await status()).toMatchObject({ state: 'working', phase: 'verify' });
    await worker({ state: 'ok' });
    await pass(limits.HOUSEKEEPING);
    await expect.poll(async () => (await status())?.state).toBe('failed');
  });

  it('is unknown, and known to be so, when the bootstrap takes the place of the process', async () => {
    await worker({ state: 'ok' });
    tracker.becameUnknown('serving-unknown', 'CATTLE_EXEC_AGENT');
    await tracker.settled(reporter);
    expect(await record(inside)).toMatchObject({ serving: 'unknown', cause: 'serving-unknown' });
    expect(await status()).toMatchObject({ state: 'degraded', cause: 'serving-unknown', exitCode: 0 });
  });
});
