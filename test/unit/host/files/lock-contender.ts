import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withHostLock } from '../../../../src/host/files/lock.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { TryAgainLaterError } from '../../../../src/support/errors.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';

/*
 * A process that wants the lock, for lock.test.ts. For each task it gets on stdin (a JSON line: folder, waitMs, holdMs,
 * at) it tries to get the lock at that time and answers with one JSON line: `won`, `lost`, `taken away` if it lost the lock
 * during the work, or `double` if somebody else was inside at the same time.
 */

interface Task {
  readonly folder: string;
  readonly waitMs: number;
  readonly holdMs: number;
  readonly at: number;
}

async function contend({ folder, waitMs, holdMs, at }: Task): Promise<string> {
  // Spinning, so that all begin within a fraction of a millisecond.
  while (Date.now() < at);
  const limits = {
    ...defaultLimits,
    LOCK_WAIT: waitMs,
    LOCK_POLL: 10,
    LOCK_STALE: 2_000,
    LOCK_REFRESH: 1_000,
    LOCK_LOOK: 1_000,
  };
  const owner = { command: 'contend', pid: process.pid };
  try {
    return await withHostLock(
      { folder, owner, limits, clock: systemClock, log: silentLog },
      async (signal) => {
        const result = await beInside(join(folder, 'inside'), holdMs);
        return signal.aborted ? 'taken away' : result;
      },
    );
  } catch (error) {
    if (error instanceof TryAgainLaterError) return 'lost';
    throw error;
  }
}

async function beInside(marker: string, holdMs: number): Promise<string> {
  try {
    await writeFile(marker, '', { flag: 'wx' });
  } catch {
    return 'double';
  }
  process.stdout.write('"inside"\n');
  await systemClock.sleep(holdMs);
  await rm(marker);
  return 'won';
}

let pending = '';
process.stdin.setEncoding('utf8');
for await (const chunk of process.stdin) {
  pending += String(chunk);
  const lines = pending.split('\n');
  pending = lines.pop() ?? '';
  for (const line of lines)
    process.stdout.write(`${JSON.stringify(await contend(JSON.parse(line) as Task))}\n`);
}
