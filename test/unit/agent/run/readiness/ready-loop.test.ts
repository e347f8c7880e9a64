import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  choosePause,
  keepProvingReadiness,
  type ProvingReadiness,
} from '../../../../../src/agent/run/readiness/ready-loop.ts';
import {
  readinessChecks,
  readinessResultSchema,
  type ReadinessFailure,
  type ReadinessResult,
} from '../../../../../src/agent/run/readiness/result.ts';
import { systemClock } from '../../../../../src/support/clock.ts';
import { defaultLimits, type Limits } from '../../../../../src/support/limits/limits.ts';
import { startStubServer, type StubServer } from '../../../../support/server/stub/stub-server.ts';
import { agentKeys, createProbeScene, type ProbeScene } from '../../../../support/scenes/readiness-probe.ts';

let scene: ProbeScene;
let server: StubServer;
const begun: { readiness: ProvingReadiness; stop: AbortController }[] = [];
const own = { id: 'a'.repeat(64), startedAt: 1_700_000_000_123, restartCount: 2 };

beforeAll(async () => {
  server = await startStubServer({ agents: [agentKeys] });
});
beforeEach(async () => {
  await server.heal();
  scene = await createProbeScene();
});
afterEach(async () => {
  for (const { readiness, stop } of begun.splice(0)) {
    await readiness.handOver()?.script.dispose();
    stop.abort(new Error('the test is over'));
  }
  await scene.remove();
});
afterAll(async () => server.close());

const fileOf = (): string => join(scene.rancher, 'container/run/readiness.json');

function start(limits: Partial<Limits> = {}): ProvingReadiness {
  const stop = new AbortController();
  const probe = scene.probe(`${server.url}/v1`, {}, limits);
  const readiness = keepProvingReadiness({ ...probe, signal: stop.signal, own, file: fileOf() });
  begun.push({ readiness, stop });
  return readiness;
}

async function readResult(): Promise<ReadinessResult | undefined> {
  const text = await readFile(fileOf(), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : v.parse(readinessResultSchema, JSON.parse(text));
}

async function result(what: (it: ReadinessResult) => boolean): Promise<ReadinessResult> {
  let last: ReadinessResult | undefined;
  await expect
    .poll(
      async () => {
        last = await readResult();
        return last !== undefined && what(last);
      },
      { timeout: 15_000, interval: 20 },
    )
    .toBe(true);
  if (last === undefined) throw new Error('no result');
  return last;
}

describe('an agent on standby', () => {
  it('writes down at once that it is ready, whose start that is, and no secret', async () => {
    const before = systemClock.elapsed();
    start();
    const found = await result(() => true);
    expect(found).toMatchObject({
      container: own.id,
      startedAt: own.startedAt,
      restartCount: 2,
      server: server.url,
      ready: true,
      passed: readinessChecks,
    });
    expect(found.checkedAt).toBeGreaterThan(before);
    expect(found.checkedAt).toBeLessThan(systemClock.elapsed());
    const text = await readFile(fileOf(), 'utf8');
    for (const secret of Object.values(agentKeys)) expect(text).not.toContain(secret);
    expect((await stat(fileOf())).mode & 0o777).toBe(0o600);
    expect((await stat(join(fileOf(), '..'))).mode & 0o777).toBe(0o700);
  });

  it('keeps a ready result young by one small request at a time', async () => {
    const asked = server.requests.length;
    start({ READY_REFRESH: 300 });
    const first = await result(() => true);
    const later = await result(({ checkedAt }) => checkedAt > first.checkedAt + 900);
    expect(later.ready).toBe(true);
    const endpoints = server.requests.slice(asked).map(({ endpoint }) => endpoint);
    expect(endpoints.filter((endpoint) => endpoint === 'bootstrap')).toHaveLength(2);
    expect(endpoints.filter((endpoint) => endpoint === 'configcontent-schema').length).toBeGreaterThan(2);
  });

  it('fetches the script again before it is too old, and leaves no old one behind', async () => {
    const asked = server.requests.length;
    const readiness = start({ READY_REFRESH: 200, READY_SCRIPT_AGE: 600 });
    await expect
      .poll(() => server.requests.slice(asked).filter(({ endpoint }) => endpoint === 'bootstrap').length, {
        timeout: 15_000,
      })
      .toBeGreaterThan(5);
    const staged = readiness.handOver();
    expect(systemClock.elapsed() - (staged?.fetchedAt ?? 0)).toBeLessThan(1_500);
    await expect.poll(async () => (await readdir(scene.staging)).length, { timeout: 5_000 }).toBe(1);
    await staged?.script.dispose();
  });

  it('says what is wrong, tries again, and is ready as soon as that is mended', async () => {
    server.fault('bootstrap', { status: 503 });
    start({ READY_RETRY_MIN: 100, READY_RETRY_MAX: 200 });
    const bad = await result(({ ready }) => !ready);
    expect(bad.failure).toMatchObject({ check: 'server', fault: 'server', cause: 'ready-server-busy' });
    server.clearFaults();
    expect((await result(({ ready }) => ready)).failure).toBeUndefined();
  });

  it('notices while it is ready that its keys are refused, and is sure only the second time', async () => {
    start({ READY_REFRESH: 100, READY_RETRY_MIN: 300, READY_KEYS_CONFIRM: 700 });
    await result(({ ready }) => ready);
    Object.assign(server.behaviour, { agentKeys: 'revoked' });
    const first = await result(({ ready }) => !ready);
    expect(first.failure).toMatchObject({ check: 'keys', fault: 'keys' });
    expect(first.failure?.confirmed).toBeUndefined();
    const sure = await result(({ failure }) => failure?.confirmed === true);
    expect(sure.checkedAt - first.checkedAt).toBeGreaterThanOrEqual(500);
    Object.assign(server.behaviour, { agentKeys: 'live' });
    await result(({ ready }) => ready);
    Object.assign(server.behaviour, { agentKeys: 'revoked' });
    expect((await result(({ ready }) => !ready)).failure?.confirmed).toBeUndefined();
  });
});

describe('the promotion', () => {
  it('gets the script at once and ends the requests in hand', async () => {
    const readiness = start({ READY_REFRESH: 50 });
    await result(({ ready }) => ready);
    server.fault('any', 'hang-accept');
    const asked = server.requests.length;
    await expect.poll(() => server.requests.length).toBeGreaterThan(asked);
    const begun = performance.now();
    const staged = readiness.handOver();
    expect(performance.now() - begun).toBeLessThan(20);
    expect(staged?.script.complaint).toBeUndefined();
    expect(await readFile(staged?.script.file ?? '', 'utf8')).toContain('#!/bin/bash');
    const { checkedAt = 0 } = (await readResult()) ?? {};
    server.clearFaults();
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect((await readResult())?.checkedAt).toBe(checkedAt);
    await staged?.script.dispose();
    expect(await readdir(scene.staging)).toEqual([]);
  });

  it('in the middle of the first checks gets none, and leaves nothing behind', async () => {
    server.fault('any', { slow: 300 });
    const readiness = start();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(readiness.handOver()).toBeUndefined();
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(await readdir(scene.staging)).toEqual([]);
    expect(await readResult()).toBeUndefined();
  });
});

describe('the pause before the next try', () => {
  const failure: ReadinessFailure = {
    check: 'server',
    fault: 'server',
    cause: 'ready-server-busy',
    message: '',
  };
  const pauses = (more: Partial<ReadinessFailure>, random: number, untilConfirmed?: number): number[] =>
    [1, 2, 3, 4, 10].map((n) =>
      choosePause({ ...failure, ...more }, n, defaultLimits, random, untilConfirmed),
    );

  it('grows from 5 s to 30 s, and differs from host to host', () => {
    expect(pauses({}, 0)).toEqual([5_000, 5_000, 10_000, 15_000, 15_000]);
    expect(pauses({}, 1)).toEqual([5_000, 10_000, 20_000, 30_000, 30_000]);
  });

  it('is never shorter than the server asks for, up to a minute', () => {
    expect(pauses({ retryAfterMs: 17_000 }, 0)).toEqual([17_000, 17_000, 17_000, 17_000, 17_000]);
    expect(pauses({ retryAfterMs: 3_600_000 }, 0)[0]).toBe(60_000);
    expect(pauses({ retryAfterMs: 0 }, 0)[0]).toBe(5_000);
  });

  it('ends when refused keys can be confirmed', () => {
    expect(pauses({ fault: 'keys' }, 1, 7_000)).toEqual([5_000, 7_000, 7_000, 7_000, 7_000]);
    expect(pauses({ fault: 'keys' }, 1, 0)[3]).toBe(30_000);
  });
});
