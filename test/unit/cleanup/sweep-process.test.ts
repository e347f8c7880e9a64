import { expect, it } from 'vitest';
import { countBeside, sweepBeside, type SweepStart } from '../../../src/cleanup/sweep-process.ts';
import type { CommandResult } from '../../../src/host/processes.ts';
import { defaultLimits as limits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { VirtualClock } from '../fakes/simulated-host.ts';

/** @param result of the process */
function scene(result: Partial<CommandResult>): SweepStart & { readonly seen: string[] } {
  const seen: string[] = [];
  return {
    seen,
    limits,
    clock: new VirtualClock(),
    signal: new AbortController().signal,
    log: { ...silentLog, warn: (message) => seen.push(`WARN: ${message}`) },
    write: (text) => seen.push(text),
    run: async (file, args) => {
      seen.push([file, ...args].join(' '));
      return Promise.resolve({ status: 0, stdout: '', stderr: '', ...result });
    },
  };
}

it('a sweep runs in a process of its own, and its log lines are in the log of the agent', async () => {
  const start = scene({ stderr: 'INFO: removed 3 leaked helpers\n' });
  await sweepBeside(start);
  expect(start.seen).toEqual(['/run.sh sweep', 'INFO: removed 3 leaked helpers\n']);
});

it('a sweep whose memory is full is one warning, and the agent runs on', async () => {
  const start = scene({ status: 134 });
  await sweepBeside(start);
  expect(start.seen.slice(1)).toEqual([
    'WARN: the sweep of leaked helpers failed: its process exited with status 134; the agent runs on',
  ]);
});

it('a count is what the process prints, and nothing if it fails or prints something else', async () => {
  const start = scene({ stdout: '{"total":7,"lastHour":2}\n' });
  expect(await countBeside(start)).toEqual({ total: 7, lastHour: 2, countedAt: start.clock.now() });
  expect(start.seen).toEqual(['/run.sh sweep --count']);
  expect(await countBeside(scene({ stdout: 'page not found' }))).toBeUndefined();
  expect(await countBeside(scene({ status: 69, stdout: '{"total":7,"lastHour":2}' }))).toBeUndefined();
});
