/**
 * The bundle as the image has it, under the launcher's flags, against an engine on a real socket that answers with more than
 * fits into memory.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  startLeakyDaemon,
  type LeakyDaemon,
  type LeakyDaemonOptions,
} from '../support/simulation/leaky-daemon.ts';

const root = join(import.meta.dirname, '../..');
let folder: string;
let daemon: LeakyDaemon | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'memory-'));
  await promisify(execFile)(process.execPath, ['scripts/image/bundle.ts', '--out', folder], { cwd: root });
}, 120_000);
afterEach(async () => {
  await daemon?.stop();
  daemon = undefined;
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The most memory that the process had, in MiB. */
  readonly peak: number;
}

/** The flags that the launcher gives to Node for a command. */
async function flagsFor(command: string): Promise<readonly string[]> {
  const launcher = await readFile(join(root, 'image/run.sh'), 'utf8');
  const [usual = '', ofCleanup = ''] = [...launcher.matchAll(/node_flags='(.*)'/g)].map(([, flags]) => flags);
  const flags = command === 'cleanup' ? ofCleanup : usual;
  expect(flags).toContain('--max-old-space-size=128');
  return flags.split(' ');
}

async function runCommand(
  engine: LeakyDaemonOptions & { readonly limits?: Readonly<Record<string, number>> },
  ...args: readonly [string, ...string[]]
): Promise<Ended> {
  const limits = Object.entries(engine.limits ?? {});
  const socketPath = join(folder, 'engine.sock');
  daemon = await startLeakyDaemon(socketPath, engine);
  const child = spawn(process.execPath, [...(await flagsFor(args[0])), join(folder, 'main.cjs'), ...args], {
    env: {
      DOCKER_HOST: `unix://${socketPath}`,
      ...Object.fromEntries(limits.map(([name, value]) => [`AGENT_LIMIT_${name}`, String(value)])),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (texts.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (texts.stderr += chunk.toString()));
  let peak = 0;
  const look = async (): Promise<void> => {
    const text = await readFile(`/proc/${child.pid ?? 0}/status`, 'utf8').catch(() => '');
    peak = Number(/^VmHWM:\s+(\d+)/m.exec(text)?.[1] ?? peak * 1024) / 1024;
  };
  const timer = setInterval(() => void look(), 20);
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearInterval(timer);
  return { status, ...texts, peak };
}

describe('a container with a million labels, which a tenant has created and never started', () => {
  const engine = { leaked: 60, labels: 1_000_000 };
  const tooLarge = /WARN: the engine describes angry_darwin0 .* in more than \d+ kB.*read in part/g;

  it.each([
    ['doctor', 2, /60 leaked/, 1],
    ['sweep', 0, /^$/, 1],
    ['cleanup --dry-run', 0, /cleanup would remove 60 containers/, 1],
    ['cleanup --yes', 0, /Removed 60, failed 0/, 1],
    // Repeated every few seconds or minutes.
    ['status', 0, /leaked     60 helpers/, 0],
    ['sweep --count', 0, /^\{"total":60,"lastHour":0\}\n$/, 0],
  ])(
    '%s exits as ever in little more memory, and one warning names it',
    async (command, status, text, warnings) => {
      const [name = '', ...args] = command.split(' ');
      const reference = await runCommand({ leaked: 60 }, name, ...args);
      await daemon?.stop();
      const ended = await runCommand(engine, name, ...args);
      expect(ended.stderr).not.toContain('heap');
      expect(ended.status, ended.stderr).toBe(status);
      expect(ended.stdout).toMatch(text);
      expect([...ended.stderr.matchAll(tooLarge)], ended.stderr).toHaveLength(warnings);
      expect(ended.peak / reference.peak).toBeLessThan(2.5);
    },
    60_000,
  );
});

describe('a host with many leaked helpers', () => {
  // 100,000 take minutes; the figures of those are in docs/development/footprint.md.
  const count = 3_000;

  it('takes no more memory for a dry run with --json than for a cleanup', async () => {
    const dryRun = await runCommand({ leaked: count }, 'cleanup', '--dry-run', '--json');
    expect(dryRun.status, dryRun.stderr).toBe(0);
    const { containers } = JSON.parse(dryRun.stdout) as { containers: { id: string }[] };
    expect(new Set(containers.map(({ id }) => id)).size).toBe(count);
    expect(daemon?.removals()).toBe(0);
    await daemon?.stop();
    const real = await runCommand({ leaked: count }, 'cleanup', '--yes');
    expect(real.status, real.stderr).toBe(0);
    expect(daemon?.left()).toBe(0);
    expect(dryRun.peak / real.peak).toBeLessThan(1.2);
  }, 120_000);
});

describe('an engine whose connection is cut at each removal', () => {
  it('gets few removals, and the command says what failed', async () => {
    const engine = {
      leaked: 1_000,
      onRemove: (response: ServerResponse) => response.destroy(),
      limits: { CLEANUP_FAILURES: 6, CALL_PAUSE: 100, CLEANUP_GLANCE: 400 },
    };
    const begun = performance.now();
    const ended = await runCommand(engine, 'cleanup', '--yes', '--json');
    expect(JSON.parse(ended.stdout)).toMatchObject({ end: 'failures', removed: 0, found: 1_000 });
    expect(daemon?.removals()).toBeLessThanOrEqual(6);
    expect(performance.now() - begun).toBeGreaterThan(100 + 200 + 400 + 400 + 400);
  }, 120_000);
});

describe('a pool without metadata', () => {
  const poolOf = (used: string): object => ({
    Driver: 'devicemapper',
    DriverStatus: [
      ['Pool Name', 'vg-pool'],
      ['Metadata Space Used', used],
      ['Metadata Space Total', '8.389 MB'],
    ],
  });
  const refusal = JSON.stringify({
    message: `Driver devicemapper failed to remove root filesystem ${'1'.repeat(64)}: dm_task_run failed`,
  });

  it('gets no removal, and the command says in which order to repair it', async () => {
    const ended = await runCommand({ leaked: 100, info: poolOf('8.389 MB') }, 'cleanup', '--yes');
    expect(ended.status, ended.stderr).toBe(75);
    expect(ended.stderr).toMatch(/ERROR: nothing was removed: 100 % .* cause=storage-low/);
    expect(ended.stderr).toMatch(/what to do: .*lvextend.*docker restart rancher-agent.*cleanup/);
    expect(daemon?.removals()).toBe(0);
  }, 60_000);

  it('that fills up meanwhile gets one removal, and the rest is left', async () => {
    const engine: LeakyDaemonOptions = {
      leaked: 100,
      info: poolOf('7.8 MB'),
      onRemove: (response) => response.writeHead(500, { 'Content-Type': 'application/json' }).end(refusal),
    };
    const ended = await runCommand(engine, 'cleanup', '--yes');
    expect(ended.status, ended.stderr).toBe(75);
    expect(ended.stdout).toContain('Stopped at once with 99 left: the storage cannot take a change.');
    expect(ended.stderr).toMatch(/the storage cannot take a change.*dm_task_run failed.*cause=storage-low/);
    expect(daemon?.removals()).toBe(1);
  }, 60_000);
});
