import { execFile, execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { renderMetrics, writeMetricsFile, type Metrics } from '../../../../src/host/files/metrics-file.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { hasSilentFolders, withSilentFolder } from '../../../support/host/silent-folder.ts';

const noon = Date.parse('2016-07-01T12:00:00Z');
const metrics: Metrics = {
  state: 'degraded',
  since: noon,
  lastSuccessAt: noon - 1_000,
  failedAttempts: 3,
  nextAttemptAt: noon + 30_000,
  unremovable: 1,
  lockAge: 4_200,
  leaks: { total: 424, lastHour: 12, countedAt: noon },
  serving: undefined,
};

let folder: string;
let file: string;
// Without a /proc of its own, the path is taken as it stands.
const paths = (): ReturnType<typeof pathsBelow> => pathsBelow(folder, join(folder, 'proc'));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'metrics-'));
  file = join(folder, 'rancher_agent.prom');
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

describe('the textfile for Prometheus', () => {
  it('says yes, no or unknown in series of their own, and leaves out what is not known', () => {
    const serving = {
      serving: 'unknown',
      since: undefined,
      lastAnswerAt: noon,
      runningSince: undefined,
      lastExitStatus: 1,
      failuresInARow: 3,
    } as const;
    const lines = renderMetrics({ ...metrics, serving })
      .split('\n')
      .filter((line) => /^rancher_agent_(serving|last_live|bootstrap)/.test(line));
    expect(lines).toEqual([
      'rancher_agent_serving{serving="yes"} 0',
      'rancher_agent_serving{serving="no"} 0',
      'rancher_agent_serving{serving="unknown"} 1',
      'rancher_agent_last_live_answer_timestamp_seconds 1467374400',
      'rancher_agent_bootstrap_last_exit_status 1',
      'rancher_agent_bootstrap_failures_in_a_row 3',
    ]);
  });

  it('has one sample per fact, in seconds, with help and type', () => {
    expect(renderMetrics(metrics)).toMatchInlineSnapshot(`
      "# HELP rancher_agent_state Is 1 for the state of this host and 0 for the other states.
      # TYPE rancher_agent_state gauge
      rancher_agent_state{state="ok"} 0
      rancher_agent_state{state="working"} 0
      rancher_agent_state{state="deferred"} 0
      rancher_agent_state{state="degraded"} 1
      rancher_agent_state{state="failed"} 0
      # HELP rancher_agent_state_since_timestamp_seconds When this state began, in seconds since 1970.
      # TYPE rancher_agent_state_since_timestamp_seconds gauge
      rancher_agent_state_since_timestamp_seconds 1467374400
      # HELP rancher_agent_last_success_timestamp_seconds When the state was last ok, in seconds since 1970.
      # TYPE rancher_agent_last_success_timestamp_seconds gauge
      rancher_agent_last_success_timestamp_seconds 1467374399
      # HELP rancher_agent_failed_attempts How many attempts at the required images failed.
      # TYPE rancher_agent_failed_attempts gauge
      rancher_agent_failed_attempts 3
      # HELP rancher_agent_next_attempt_timestamp_seconds When the next attempt may begin, in seconds since 1970.
      # TYPE rancher_agent_next_attempt_timestamp_seconds gauge
      rancher_agent_next_attempt_timestamp_seconds 1467374430
      # HELP rancher_agent_unremovable_containers How many containers of the agent the engine could not remove.
      # TYPE rancher_agent_unremovable_containers gauge
      rancher_agent_unremovable_containers 1
      # HELP rancher_agent_lock_held Is 1 while a command works on this host.
      # TYPE rancher_agent_lock_held gauge
      rancher_agent_lock_held 1
      # HELP rancher_agent_lock_age_seconds How long ago the holder updated the lock. Above 30 s, the holder is dead.
      # TYPE rancher_agent_lock_age_seconds gauge
      rancher_agent_lock_age_seconds 4.2
      # HELP rancher_agent_leaked_helpers How many leaked helpers of the legacy entrypoint are on this host.
      # TYPE rancher_agent_leaked_helpers gauge
      rancher_agent_leaked_helpers 424
      # HELP rancher_agent_leaked_helpers_last_hour How many of the leaked helpers were created in the last hour.
      # TYPE rancher_agent_leaked_helpers_last_hour gauge
      rancher_agent_leaked_helpers_last_hour 12
      # HELP rancher_agent_leaked_helpers_counted_timestamp_seconds When the leaked helpers were counted, in seconds since 1970.
      # TYPE rancher_agent_leaked_helpers_counted_timestamp_seconds gauge
      rancher_agent_leaked_helpers_counted_timestamp_seconds 1467374400
      "
    `);
  });

  it('follows the text format: every sample behind its own help and type, no name twice', () => {
    const lines = renderMetrics(metrics).trimEnd().split('\n');
    const families = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2]);
    expect(new Set(families).size).toBe(families.length);
    let current = '';
    for (const line of lines) {
      const type = /^# TYPE (\S+) gauge$/.exec(line)?.[1];
      if (type !== undefined) current = type;
      else if (!line.startsWith('# HELP'))
        expect(line).toMatch(new RegExp(`^${current}(\\{state="[a-z]+"\\})? [0-9.]+$`));
    }
  });

  it('leaves out what is not known', () => {
    const text = renderMetrics({
      ...metrics,
      since: undefined,
      lastSuccessAt: undefined,
      leaks: undefined,
      lockAge: undefined,
    });
    expect(text).not.toMatch(/leaked|last_success|lock_age/);
    expect(text).toContain('rancher_agent_lock_held 0');
  });

  it('is replaced whole, can be read by everybody, and leaves no other file', async () => {
    await writeMetricsFile(paths(), file, metrics);
    await writeMetricsFile(paths(), file, { ...metrics, unremovable: 0 });
    expect(await readFile(file, 'utf8')).toContain('rancher_agent_unremovable_containers 0\n');
    expect((await stat(file)).mode & 0o777).toBe(0o644);
    expect(await readdir(folder)).toEqual(['rancher_agent.prom']);
  });

  it('keeps the count of leaked helpers when the writer has not counted', async () => {
    await writeMetricsFile(paths(), file, metrics);
    await writeMetricsFile(paths(), file, { ...metrics, state: 'ok', leaks: undefined });
    const text = await readFile(file, 'utf8');
    expect(text).toContain('rancher_agent_state{state="ok"} 1\n');
    expect(text).toContain('rancher_agent_leaked_helpers 424\n');
    expect(text).toContain(`rancher_agent_leaked_helpers_counted_timestamp_seconds ${noon / 1000}\n`);
  });

  it('does not mind what stood there before', async () => {
    await writeFile(file, 'rancher_agent_leaked_helpers many\n');
    await writeMetricsFile(paths(), file, { ...metrics, leaks: undefined });
    expect(await readFile(file, 'utf8')).not.toContain('leaked');
  });

  it.each(['rancher.prom', '/var/lib/rancher.txt'])(
    'refuses %s, which node_exporter would not read',
    async (path) => {
      await expect(writeMetricsFile(paths(), path, metrics)).rejects.toThrow(
        'must be absolute and end in .prom',
      );
    },
  );

  it.each(['a FIFO', 'a link to /dev/zero', 'a link to a file that must stay'])(
    'replaces %s, without waiting for it or writing through it',
    async (form) => {
      await writeFile(join(folder, 'stays'), 'stays');
      if (form === 'a FIFO') execFileSync('mkfifo', [file]);
      else await symlink(form.includes('zero') ? '/dev/zero' : 'stays', file);
      await writeMetricsFile(paths(), file, { ...metrics, leaks: undefined });
      expect((await stat(file)).isFile()).toBe(true);
      expect(await readFile(join(folder, 'stays'), 'utf8')).toBe('stays');
    },
  );
});

describe('a disk of the metrics that never answers', () => {
  it.runIf(hasSilentFolders)(
    'is waited for once, and keeps no more threads than writers',
    { timeout: 40_000 },
    async () => {
      await withSilentFolder(join(folder, 'silent'), async ({ path: silent, silence }) => {
        silence();
        await mkdir(join(folder, 'rancher'));
        const script = join(import.meta.dirname, 'metrics-starver.ts');
        const child = execFile(
          process.execPath,
          [script, join(folder, 'rancher'), join(silent, 'rancher.prom')],
          { timeout: 30_000, killSignal: 'SIGKILL' },
        );
        const said = await new Promise<string>((resolve, reject) => {
          child.stdout?.once('data', (chunk: Buffer | string) => {
            resolve(String(chunk));
          });
          child.once('error', reject);
          // It cannot exit while a thread of it waits in the kernel.
          child.stdout?.once('end', () => {
            resolve('');
          });
        });
        const { took, free } = JSON.parse(said) as { took: number[]; free: boolean };
        expect(free).toBe(true);
        expect(took).toHaveLength(12);
        expect(took.slice(1).reduce((sum, ms) => sum + ms, 0)).toBeLessThan(1_500);
      });
    },
  );
});
