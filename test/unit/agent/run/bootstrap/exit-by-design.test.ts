import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  isByDesign,
  readStamps,
  stampFiles,
  type FinishedRun,
} from '../../../../../src/agent/run/bootstrap/exit-by-design.ts';
import { defaultLimits } from '../../../../../src/support/limits/limits.ts';

const at = 1_000_000;
const exit = (status: number | null, signal: NodeJS.Signals | null = null) => ({ status, signal });

describe('an exit of the bootstrap', () => {
  it.each<[string, Partial<FinishedRun>, boolean]>([
    ['0, the websocket was closed', { exit: exit(0), ms: 60_000 }, true],
    ['0 at once', { exit: exit(0), ms: 5 }, true],
    ['1', { exit: exit(1), ms: 60_000 }, false],
    ['1, just after the stamp changed', { exit: exit(1), stampsAfter: [at - 2_000, undefined] }, true],
    ['1, just after the other stamp appeared', { exit: exit(1), stampsAfter: [10, at - 1_000] }, true],
    ['1, a stamp that appeared long ago', { exit: exit(1), stampsAfter: [10, at - 60_000] }, false],
    // Each bootstrap writes the stamp while it starts: `config.sh --force`.
    ['1, the stamp written at the start', { exit: exit(1), stampsAfter: [at - 50_000, undefined] }, false],
    [
      '1 at once, the stamp just written',
      { exit: exit(1), ms: 4_000, stampsAfter: [at - 100, undefined] },
      false,
    ],
    ['2, just after the stamp changed', { exit: exit(2), stampsAfter: [at - 2_000, undefined] }, false],
    ['SIGKILL', { exit: exit(null, 'SIGKILL'), stampsAfter: [at - 2_000, undefined] }, false],
  ])('%s', (_title, run, expected) => {
    const whole = {
      exit: exit(0),
      ms: 60_000,
      at,
      stampsBefore: [10, undefined],
      stampsAfter: [10, undefined],
    };
    expect(isByDesign({ ...whole, ...run }, defaultLimits)).toBe(expected);
  });
});

describe("the agent's stamps", () => {
  it.each([
    [{}, ['/var/lib/cattle/.pyagent-stamp', '/var/lib/cattle/.node-agent-stamp']],
    [{ CATTLE_HOME: '/c' }, ['/c/.pyagent-stamp', '/c/.node-agent-stamp']],
    [{ CATTLE_HOME: '/c', PASTURESTACK_HOME: '/p' }, ['/c/.pyagent-stamp', '/p/.node-agent-stamp']],
    [{ CATTLE_STAMP_FILE: '/s' }, ['/s', '/var/lib/cattle/.node-agent-stamp']],
  ])('of %j are %j', (environment, files) => {
    expect(stampFiles(environment)).toEqual(files);
  });

  it('have the time of their files, or none', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'stamps-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, '.pyagent-stamp');
    await writeFile(file, '1');
    await utimes(file, 5, 5);
    expect(await readStamps({ CATTLE_HOME: folder }, defaultLimits)).toEqual([5_000, undefined]);
  });
});
