import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { startHeartbeat, type Heartbeat } from '../../../../src/agent/run/heartbeat.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';

const run = promisify(execFile);
const script = resolve(import.meta.dirname, '../../../../image/health.sh');
const limits = { ...defaultLimits, HEARTBEAT: 20 };

let folder: string;
let file: string;
let uptime: string;
let heartbeat: Heartbeat | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heartbeat-'));
  file = join(folder, 'ours/health');
  uptime = join(folder, 'uptime');
  await hostRunsFor('1000.52');
});
afterEach(async () => {
  heartbeat?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function hostRunsFor(seconds: string): Promise<void> {
  await writeFile(uptime, `${seconds} 4321.00\n`);
}

/** @returns it when its first line is there */
async function start(): Promise<Heartbeat> {
  heartbeat = startHeartbeat(limits, { file, uptime });
  await expect.poll(async () => (await stat(file)).size).toBe(256);
  return heartbeat;
}

/** Runs the image's own script, without any program in reach. */
async function check(shell: readonly string[]): Promise<{ status: number; says: string }> {
  const [program = '', ...words] = shell;
  try {
    const { stdout } = await run(program, [...words, script, file, uptime], { env: { PATH: '/nowhere' } });
    return { status: 0, says: stdout.trim() };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, says: stdout.trim() + stderr };
  }
}

const shells = [['/bin/dash'], ['/bin/bash', '--posix'], ['/usr/bin/busybox', 'sh']].map((shell) => ({
  name: shell.join(' '),
  shell,
  isMissing: !existsSync(shell[0] ?? ''),
}));

it('there is a small shell to test with', () => {
  expect(shells.filter(({ isMissing }) => !isMissing).map(({ name }) => name)).toContain('/bin/dash');
});

describe.each(shells)('the health check in $name', ({ shell, isMissing }) => {
  it.skipIf(isMissing)('is healthy while the process shows that it lives', async () => {
    await start();
    expect(await check(shell)).toEqual({ status: 0, says: 'healthy' });
    await hostRunsFor('90000.00');
    await expect.poll(async () => readFile(file, 'utf8')).toMatch(/^90000 60 ok /);
    expect(await check(shell)).toEqual({ status: 0, says: 'healthy' });
  });

  it.skipIf(isMissing)('is unhealthy when the process has been silent for a minute', async () => {
    await start();
    const last = await readFile(file);
    heartbeat?.stop();
    await writeFile(file, last);
    await hostRunsFor('1060.99');
    expect((await check(shell)).status).toBe(0);
    await hostRunsFor('1061.00');
    expect(await check(shell)).toEqual({
      status: 1,
      says: 'unhealthy: the process has been silent for 61 s; a restart cures that',
    });
  });

  it.skipIf(isMissing)(
    'is unhealthy when the process says that a restart cures something, until it is over',
    async () => {
      const beating = await start();
      beating.setTrouble("the engine's socket is dead, $(touch /tmp/x) `id`\n* while the host's answers");
      await expect
        .poll(async () => check(shell))
        .toEqual({
          status: 1,
          says: "unhealthy: the engine's socket is dead, $(touch /tmp/x) `id`?* while the host's answers; a restart cures that",
        });
      beating.setTrouble(undefined);
      await expect.poll(async () => check(shell)).toEqual({ status: 0, says: 'healthy' });
    },
  );

  it.skipIf(isMissing)(
    'is healthy for a process without a heartbeat, and for one that gave it up',
    async () => {
      expect(await check(shell)).toEqual({ status: 0, says: 'healthy: no heartbeat to go by' });
      (await start()).stop();
      expect(existsSync(file)).toBe(false);
      expect(await check(shell)).toEqual({ status: 0, says: 'healthy: no heartbeat to go by' });
    },
  );

  it.skipIf(isMissing).each([
    ['nothing', ''],
    ['half a line', '1000'],
    ['other words', 'beat limit ok\n'],
    ['numbers that are none', '-5 0x10 ok\n'],
    ['a heartbeat of before the host was started again', '99999 60 ok\n'],
  ])('is healthy for a file with %s', async (_title, text) => {
    (await start()).stop();
    await writeFile(file, text);
    expect(await check(shell)).toMatchObject({
      status: 0,
      says: expect.stringMatching(/^healthy/) as string,
    });
  });

  it.skipIf(isMissing)('is healthy where the host does not say how long it runs', async () => {
    await start();
    await rm(uptime);
    expect(await check(shell)).toEqual({ status: 0, says: 'healthy: no heartbeat to go by' });
  });
});

describe('the heartbeat', () => {
  it('of a real process stands still while its event loop does, and goes on with it', async () => {
    const source = resolve(import.meta.dirname, '../../../../src/agent/run/heartbeat.ts');
    const program = [
      `const { startHeartbeat } = await import(${JSON.stringify(source)});`,
      `startHeartbeat({ HEARTBEAT: 50, HEARTBEAT_STALE: 1000 }, ${JSON.stringify({ file, uptime: '/proc/uptime' })});`,
      'setInterval(() => undefined, 1000);',
    ].join('\n');
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'inherit' });
    onTestFinished(() => void child.kill('SIGKILL'));
    const status = async (): Promise<number> => {
      const checking = run('/bin/dash', [script, file]);
      return checking.then(
        () => 0,
        (error: unknown) => (error as { code: number }).code,
      );
    };
    await expect.poll(() => existsSync(file), { timeout: 10_000 }).toBe(true);
    await new Promise((wake) => setTimeout(wake, 2_500));
    expect(await status()).toBe(0);
    child.kill('SIGSTOP');
    await expect.poll(status, { timeout: 10_000, interval: 200 }).toBe(1);
    child.kill('SIGCONT');
    await expect.poll(status, { timeout: 10_000, interval: 200 }).toBe(0);
  }, 40_000);

  it('is a line of the same length each time, that only root can read', async () => {
    const beating = await start();
    const { size, mode, ino } = await stat(file);
    beating.setTrouble('x'.repeat(1_000));
    await expect.poll(async () => readFile(file, 'utf8')).toContain('restart xxx');
    expect(await stat(file)).toMatchObject({ size, mode, ino });
    expect(mode & 0o777).toBe(0o600);
    expect((await readFile(file, 'utf8')).split('\n')).toHaveLength(2);
  });

  it('is no trouble for a process where there is no room for it', async () => {
    await writeFile(join(folder, 'ours'), 'a file in the place of the folder');
    heartbeat = startHeartbeat(limits, { file, uptime });
    heartbeat.setTrouble('something');
    expect(existsSync(file)).toBe(false);
  });
});
