import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { callEngine } from '../../support/host/engine-call.ts';
import { leakHelpers, createBystanders, stillThere } from '../../support/scenes/leaky-host.ts';
import { images, limits } from '../../support/scenes/scene.ts';
import {
  scene,
  stageHost,
  cleaner,
  leakedHelpers,
  asEver,
  socket,
  cleanupArguments,
  cleanup,
  reportOf,
  removals,
  atRemoval,
} from './cleanup-stage.ts';

stageHost();

/** Looks at something again and again until the work is done. */
async function sampleDuring<T>(work: Promise<T>, look: () => Promise<number | undefined>): Promise<number[]> {
  const samples: number[] = [];
  const ended = work.then(
    () => true,
    () => true,
  );
  do {
    const sample = await look();
    if (sample !== undefined) samples.push(sample);
  } while (!(await Promise.race([ended, sleep(20, false)])));
  return samples;
}

/** Milliseconds that `docker ps` waits for the engine. */
async function listLatency(): Promise<number> {
  const begun = performance.now();
  await callEngine(scene.host.engineSocketPath, 'GET', '/containers/json');
  return performance.now() - begun;
}

/** Memory of the cleanup's process in MiB, as the kernel counts it. */
async function residentMemory(): Promise<number | undefined> {
  const pid = (await scene.host.inspect(cleaner))?.State.Pid;
  if (pid === undefined || pid === 0) return undefined;
  const status = await readFile(scene.host.pathInHost(`/proc/${pid}/status`), 'utf8').catch(() => '');
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  return kib === undefined ? undefined : Number(kib) / 1024;
}

describe.each([
  ['an engine of today', undefined, leakedHelpers],
  ['an engine of the incident (API 1.22)', '1.22', 60],
])('on %s', (_title, api, count) => {
  it(`removes exactly the ${count} leaked helpers among 50 bystanders`, async () => {
    const { host } = scene;
    host.proxy.pinApi(api);
    const leaked = await leakHelpers(host, count);
    const bystanders = await createBystanders(host, leaked);
    expect(bystanders).toHaveLength(50);

    const dryRun = await cleanup(['--dry-run', '--json'], asEver);
    expect(dryRun, dryRun.stderr).toMatchObject({ status: 0 });
    expect([...(reportOf(dryRun).containers ?? [])].map(({ id }) => id).sort()).toEqual([...leaked].sort());
    expect(removals()).toEqual([]);

    const before = await listLatency();
    const work = cleanup(['--yes', '--json'], asEver);
    const [memory, latencies, result] = await Promise.all([
      sampleDuring(work, residentMemory),
      sampleDuring(work, listLatency),
      work,
    ]);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(reportOf(result)).toMatchObject({ removed: count, failed: 0, left: 0, end: 'all' });
    expect(await stillThere(host, leaked)).toEqual([]);
    expect(await stillThere(host, bystanders)).toEqual(bystanders);
    for (const { query } of removals()) expect(query).toEqual({});
    const lists = host.proxy.requests.filter(
      ({ path, userAgent }) => path.endsWith('/containers/json') && userAgent.includes('(cleanup)'),
    );
    expect(lists).toHaveLength(2);
    const most = (samples: readonly number[]): number => Math.round(Math.max(...samples));
    console.log(
      `${count} in ${reportOf(result).tookMs} ms; memory up to ${most(memory)} MiB; docker ps ${Math.round(before)} ms before, up to ${most(latencies)} ms meanwhile`,
    );
    expect(most(memory)).toBeLessThan(110);
    expect(most(latencies)).toBeLessThan(2_000);

    const again = await cleanup(['--yes'], asEver);
    expect(again).toMatchObject({ status: 0 });
    // By the list alone, some bystanders look like leaked helpers.
    expect(again.stdout).toMatch(/Removed 0, failed 0, skipped 10, /);
    expect(again.stdout).toContain('Left alone: 5 created within the last 10 min');
  });
});

describe('cleanup without a terminal', () => {
  it('removes nothing that nobody has confirmed', async () => {
    const leaked = await leakHelpers(scene.host, 2);
    const result = await cleanup([]);
    expect(result).toMatchObject({ status: 64 });
    expect(result.stderr).toContain('there is no terminal to ask on');
    expect(await stillThere(scene.host, leaked)).toEqual(leaked);
  });
});

describe('cleanup on a terminal', () => {
  /** Types `keys` when the question is there. @returns what the person sees, and the status */
  async function onTerminal(keys: string): Promise<{ seen: string; status: number | null }> {
    const command = ['docker', ...cleanupArguments([], ['-it', ...limits({ SWEEP_AGE: 0 })])].join(' ');
    const child = spawn('script', ['-qec', `stty cols 80 rows 24; ${command}`, '/dev/null'], {
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        TERM: 'xterm',
        DOCKER_HOST: `unix://${scene.host.engineSocketPath}`,
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let seen = '';
    let hasTyped = false;
    child.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (hasTyped || !seen.includes('[y/N]')) return;
      hasTyped = true;
      child.stdin.write(keys);
    });
    const [status] = (await once(child, 'close')) as [number | null];
    return { seen, status };
  }

  it('asks before it removes, accepts no and Ctrl-C as answers, and draws a bar that fits the screen', async () => {
    const leaked = await leakHelpers(scene.host, 40);
    const declined = await onTerminal('n\n');
    expect(declined).toMatchObject({ status: 0 });
    expect(declined.seen).toContain('Nothing was removed.');
    expect(await onTerminal('\u0003')).toMatchObject({ status: 130 });
    expect(await stillThere(scene.host, leaked)).toEqual(leaked);

    const { seen, status } = await onTerminal('y\n');
    expect(status, seen).toBe(0);
    expect(await stillThere(scene.host, leaked)).toEqual([]);
    // Without colours.
    const lines = seen.replace(/\u001B\[\d*[mK]/g, '').split(/[\r\n]+/);
    expect(lines.filter((line) => /^\[[#-]+\] \d+ of 40, \d+ %/.test(line)).length).toBeGreaterThan(0);
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    expect(seen).toContain('\u001B[32mRemoved 40\u001B[39m, failed 0, skipped 0');
  });
});

describe('a cleanup that is interrupted', () => {
  it('reports what is left after Ctrl-C, does no harm after SIGKILL, and the next run continues, as two at once do', async () => {
    const { host } = scene;
    const leaked = await leakHelpers(host, 200);
    atRemoval(20, async () => host.docker('kill', '-s', 'INT', cleaner));
    const stopped = await cleanup(['--yes']);
    expect(stopped, stopped.stderr).toMatchObject({ status: 130 });
    expect(stopped.stdout).toMatch(/Interrupted with \d+ left; the next run removes them/);
    const left = Number(/Interrupted with (\d+) left/.exec(stopped.stdout)?.[1]);
    expect(await stillThere(host, leaked)).toHaveLength(left);
    // The removals in progress have finished; nothing else has begun.
    expect(left).toBeGreaterThan(200 - 20 - defaultLimits.CLEANUP_PARALLEL);

    host.proxy.clearRules();
    const soFar = removals().length;
    atRemoval(20, async () => host.docker('kill', cleaner));
    expect(await cleanup(['--yes'])).toMatchObject({ status: 137 });
    expect(removals().length - soFar).toBeLessThan(20 + defaultLimits.CLEANUP_PARALLEL);
    expect((await stillThere(host, leaked)).length).toBeGreaterThan(20);

    const other = [
      'run',
      '--rm',
      ...socket,
      ...limits({ SWEEP_AGE: 0 }),
      images.b,
      'cleanup',
      '--yes',
      '--json',
    ];
    const both = await Promise.all([cleanup(['--yes', '--json']), host.tryDocker(...other)]);
    for (const result of both) expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(await stillThere(host, leaked)).toEqual([]);
    expect(reportOf(both[0]).failed + reportOf(both[1]).failed).toBe(0);
  });

  it('waits for an engine that restarts, and continues', async () => {
    const { host } = scene;
    const leaked = await leakHelpers(host, 60);
    atRemoval(20, async () => {
      await host.killEngine();
      void sleep(1_500).then(async () => host.startEngine());
    });
    const atOnce = limits({ SWEEP_AGE: 0 });
    await host.docker('run', '-d', '--name', cleaner, ...socket, ...atOnce, images.a, 'cleanup', '--yes');
    await scene.waitFor('all gone', async () => {
      const there = await stillThere(host, leaked).catch(() => leaked);
      return there.length === 0 ? true : undefined;
    });
  });
});

describe('helpers that cannot be removed', () => {
  it('are reported with the cause and not tried again and again; the others are removed, and the next run tries again', async () => {
    const { host } = scene;
    const leaked = await leakHelpers(host, 40);
    const sick = leaked.slice(5, 9);
    for (const id of sick) await host.makeUnremovable(id);
    const first = await cleanup(['--yes']);
    expect(first, first.stderr).toMatchObject({ status: 73 });
    expect(first.stdout).toMatch(/Removed 36, failed 4, /);
    expect(first.stdout).toMatch(/4 failed: a file is immutable/);
    expect(await stillThere(host, leaked)).toEqual(sick);
    const tries = removals().filter(({ path }) => sick.some((id) => path.includes(id)));
    expect(tries).toHaveLength(4);

    await host.makeRemovable(sick[0] ?? '');
    const second = await cleanup(['--yes', '--json']);
    expect(second).toMatchObject({ status: 73 });
    expect(reportOf(second)).toMatchObject({
      removed: 1,
      failed: 3,
      failures: [{ cause: 'immutable', count: 3 }],
    });
    for (const id of sick.slice(1)) await host.makeRemovable(id);
    expect(await cleanup(['--yes'])).toMatchObject({ status: 0 });
    expect(await stillThere(host, leaked)).toEqual([]);
  });

  it('end the cleanup when too many in a row fail', async () => {
    const { host } = scene;
    const leaked = await leakHelpers(host, 12);
    for (const id of leaked) await host.makeUnremovable(id);
    const result = await cleanup(['--yes', '--json'], { CLEANUP_FAILURES: 3, CLEANUP_PARALLEL: 1 });
    expect(result, result.stderr).toMatchObject({ status: 73 });
    expect(reportOf(result)).toMatchObject({ end: 'failures', removed: 0, failed: 3, left: 9 });
    for (const id of leaked) await host.makeRemovable(id);
  });
});

describe('a dead managed container', () => {
  it('is removed when an agent has the keys, and kept while it may be the only container that has them', async () => {
    const { host } = scene;
    const keys = ['-e', 'CATTLE_ACCESS_KEY=TESTACCESSKEY0000001', '-e', 'CATTLE_SECRET_KEY=testsecretkey01'];
    const agent = ['--privileged', ...socket, ...keys, images.a, 'run'];
    const name = 'rancher-agent-previous';
    const dead = await host.docker('create', '--name', name, ...agent);
    await host.makeUnremovable(dead);
    await host.tryDocker('rm', dead);
    await host.makeRemovable(dead);
    expect(await host.inspect(dead)).toMatchObject({ State: { Status: 'dead' } });
    const alone = await cleanup(['--yes', '--json']);
    expect(reportOf(alone)).toMatchObject({ removed: 0, skipped: { 'may hold the only keys': 1 } });
    await host.docker('create', '--name', 'rancher-agent', ...agent);
    const result = await cleanup(['--yes', '--json']);
    expect(reportOf(result), result.stderr).toMatchObject({ removed: 1, failed: 0 });
    expect(await scene.names()).toEqual(['rancher-agent']);
  });
});

describe('an engine that is frozen', () => {
  it('ends the cleanup with status 69 within a limited time, before the list and in the middle of the removal', async () => {
    const { host } = scene;
    const short = { CLEANUP_CALL: 1_000, CLEANUP_REMOVE: 1_000, CLEANUP_AWAY: 2_000 };
    const leaked = await leakHelpers(host, 30);
    const hang = (match: (path: string, method: string) => boolean): void => {
      host.proxy.addRule({
        match: ({ path, method, userAgent }) => userAgent.includes('(cleanup)') && match(path, method),
        action: { kind: 'hang' },
      });
    };
    hang(() => true);
    const begun = Date.now();
    expect(await cleanup(['--yes'], short)).toMatchObject({ status: 69 });
    host.proxy.clearRules();
    let deletions = 0;
    hang((_path, method) => {
      if (method === 'DELETE') deletions += 1;
      return deletions > 10;
    });
    const result = await cleanup(['--yes'], short);
    expect(result, result.stderr).toMatchObject({ status: 69 });
    expect(result.stdout).toMatch(/Stopped with \d+ left: the engine has not answered/);
    expect(Date.now() - begun).toBeLessThan(40_000);
    expect(await stillThere(host, leaked)).toHaveLength(20);
  });
});
