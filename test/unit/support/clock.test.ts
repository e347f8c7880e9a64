import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { systemClock } from '../../../src/support/clock.ts';

it('sleeps, and wakes up with the reason when told to stop', async () => {
  const begin = systemClock.now();
  await systemClock.sleep(20);
  expect(systemClock.now() - begin).toBeGreaterThanOrEqual(15);
  const stop = new AbortController();
  const sleep = systemClock.sleep(60_000, stop.signal);
  stop.abort(new Error('stopped'));
  await expect(sleep).rejects.toThrow('stopped');
  await expect(systemClock.sleep(60_000, stop.signal)).rejects.toThrow('stopped');
});

it('measures durations by a clock that all processes of a host share and nobody can set', async () => {
  const [uptime = '0'] = (await readFile('/proc/uptime', 'utf8')).split(' ');
  expect(Math.abs(systemClock.elapsed() / 1000 - Number(uptime))).toBeLessThan(5);
});
