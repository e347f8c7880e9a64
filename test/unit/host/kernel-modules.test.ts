import { describe, expect, it } from 'vitest';
import type { HostCommands } from '../../../src/host/mounts/namespace.ts';
import { kernelModules, loadKernelModules } from '../../../src/host/kernel-modules.ts';
import { CommandError, type CommandRunner } from '../../../src/host/processes.ts';
import { pathsBelow } from '../../../src/support/configuration.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog, type Log } from '../../../src/support/log.ts';

describe('loadKernelModules', () => {
  function hostWith(run: CommandRunner, log: Log = silentLog): HostCommands {
    return { paths: pathsBelow('/var/lib/rancher'), limits: defaultLimits, log, run };
  }

  it('asks for all of them with one command with a deadline', async () => {
    const calls: unknown[] = [];
    await loadKernelModules(
      hostWith((...call) => {
        calls.push(call);
        return Promise.resolve({ status: 0, stdout: '', stderr: '' });
      }),
    );
    expect(calls).toEqual([
      [
        'nsenter',
        ['--mount=/proc/1/ns/mnt', '--', 'modprobe', '-a', ...kernelModules],
        { deadlineMs: defaultLimits.HOST_COMMAND },
      ],
    ]);
  });

  it('goes on when modules or modprobe itself are missing, and says so to those who debug', async () => {
    const originalMessage: string[] = [];
    const log: Log = {
      ...silentLog,
      debug: (message, fields) => originalMessage.push(`${message} ${JSON.stringify(fields)}`),
    };
    await loadKernelModules(
      hostWith(
        () => Promise.resolve({ status: 1, stdout: '', stderr: 'FATAL: Module drbg not found.' }),
        log,
      ),
    );
    await loadKernelModules(hostWith(() => Promise.reject(new CommandError('nsenter', 'ENOENT')), log));
    expect(originalMessage).toHaveLength(2);
    expect(originalMessage[0]).toContain('Module drbg not found');
  });
});
