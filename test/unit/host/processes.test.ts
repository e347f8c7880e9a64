import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { CommandError, runCommand } from '../../../src/host/processes.ts';
import { DeadlineError } from '../../../src/support/deadline.ts';
import { fixedLimits } from '../../../src/support/limits/fixed.ts';

const deadlineMs = 5_000;

async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return status !== undefined && !/\) Z /.test(status);
}

describe('runCommand', () => {
  it('returns what the command said and its status, whatever it is', async () => {
    expect(await runCommand('sh', ['-c', 'echo out; echo err >&2; exit 3'], { deadlineMs })).toEqual({
      status: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it('says in words that an environment is too large for a process', async () => {
    const environment = { PATH: process.env['PATH'] ?? '', A: 'x'.repeat(200_000) };
    const started = runCommand('true', [], { deadlineMs, environment });
    await expect(started).rejects.toThrow(CommandError);
    await expect(started).rejects.toThrow('true: the environment is too large for a process (E2BIG)');
  });

  it('gives the command nothing to read and no shell to fool', async () => {
    expect(await runCommand('cat', [], { deadlineMs })).toMatchObject({ status: 0, stdout: '' });
    expect(await runCommand('echo', ['$(id)'], { deadlineMs })).toMatchObject({ stdout: '$(id)\n' });
  });

  it('says a signal as a shell does', async () => {
    expect(await runCommand('sh', ['-c', 'kill -9 $$'], { deadlineMs })).toMatchObject({ status: 137 });
  });

  it('says that a command is missing', async () => {
    await expect(runCommand('no-such-command', [], { deadlineMs })).rejects.toThrow(CommandError);
  });

  it('ends a command, and its children, that is deaf to SIGTERM', { timeout: 15_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'run-command-'));
    const script = `trap "" TERM; sleep 61 & echo $! $$ >${folder}/pids; wait; sleep 62`;
    const begin = Date.now();
    await expect(runCommand('sh', ['-c', script], { deadlineMs: 300 })).rejects.toThrow(DeadlineError);
    const pids = (await readFile(join(folder, 'pids'), 'utf8')).trim().split(' ').map(Number);
    await rm(folder, { recursive: true });
    expect(pids).toHaveLength(2);
    await delay(50);
    for (const pid of pids) expect(await isRunning(pid)).toBe(false);
    expect(Date.now() - begin).toBeLessThan(300 + 2 * fixedLimits.COMMAND_GRACE + 1_000);
  });

  it('does not wait for a daemon that keeps the output open', { timeout: 15_000 }, async () => {
    const begin = Date.now();
    await expect(runCommand('sh', ['-c', 'setsid sleep 7 & exit 0'], { deadlineMs: 200 })).rejects.toThrow(
      DeadlineError,
    );
    expect(Date.now() - begin).toBeLessThan(6_000);
  });

  it('stops when told to', async () => {
    const stop = new AbortController();
    const attempt = runCommand('sleep', ['60'], { deadlineMs, signal: stop.signal });
    stop.abort(new Error('stopped'));
    await expect(attempt).rejects.toThrow('stopped');
    await expect(runCommand('true', [], { deadlineMs, signal: stop.signal })).rejects.toThrow('stopped');
  });

  it('keeps the memory bounded when a command runs away', async () => {
    const { stdout } = await runCommand('head', ['-c', '3000000', '/dev/zero'], { deadlineMs });
    expect(stdout.length).toBe(fixedLimits.COMMAND_OUTPUT);
  });
});
