import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createReporter, type Reporter } from '../../../../src/agent/report/reporter.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { readConfiguration } from '../../../../src/support/configuration.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { hasSilentFolders, withSilentFolder } from '../../../support/host/silent-folder.ts';
import { createSecrets } from '../../../../src/support/secrets.ts';

let folder: string;
let reporter: Reporter;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'report-'));
  const configuration = readConfiguration({ AGENT_LIMIT_HOST_FILE: '1000' }, 'host');
  reporter = createReporter({
    configuration: { ...configuration, paths: { ...configuration.paths, entrypoint: folder } },
    clock: systemClock,
    log: silentLog,
    secrets: createSecrets(),
    command: 'upgrade',
    version: 'test',
  });
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

async function read(): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(folder, 'status.json'), 'utf8')) as Record<string, unknown>;
}

describe('what is told of a piece of work', () => {
  it('names who asked for it, in the status and in the log', async () => {
    const lines: unknown[] = [];
    const configuration = readConfiguration({}, 'host');
    const asked = createReporter({
      configuration: { ...configuration, paths: { ...configuration.paths, entrypoint: folder } },
      clock: systemClock,
      log: { ...silentLog, info: (message, fields) => lines.push([message, fields]) },
      secrets: createSecrets(),
      command: 'upgrade',
      version: 'test',
      askedBy: 'person',
    });
    await asked.ended({ state: 'ok', exitCode: 0, summary: 'done' });
    expect(await read()).toMatchObject({ askedBy: 'person' });
    expect(lines).toEqual([['ok: done', { exit: 0, askedBy: 'person' }]]);
  });

  it('is on the disk before the work goes on', async () => {
    await reporter.working('looking', 'preflight');
    expect(await read()).toMatchObject({ state: 'working', phase: 'preflight' });
    await reporter.working('stopping', 'stop');
    expect(await read()).toMatchObject({ state: 'working', phase: 'stop' });
  });

  it('follows behind the work while the host has no agent, which does not wait for the disk', async () => {
    await reporter.working('stopping', 'stop');
    reporter.passing('promoting', 'promote');
    // A write takes turns of the event loop, and not one has passed.
    expect(readFileSync(join(folder, 'status.json'), 'utf8')).toContain('"stop"');
    await expect.poll(async () => (await read())['phase']).toBe('promote');
  });

  it('is its end in the end, whatever was still to be written', async () => {
    await reporter.working('stopping', 'stop');
    for (const phase of ['park', 'promote']) reporter.passing(phase, phase);
    await reporter.ended({ state: 'ok', exitCode: 0, summary: 'done' });
    const ended = await read();
    expect(ended).toMatchObject({ state: 'ok', summary: 'done' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await read()).toEqual(ended);
    expect(await readFile(join(folder, 'state'), 'utf8')).toBe('ok\n');
  });

  it.runIf(hasSilentFolders)(
    'waits once for a disk that does not answer, and not again; what was said last is written when it does',
    { timeout: 30_000 },
    async () => {
      await withSilentFolder(folder, async ({ silence, speak }) => {
        silence();
        // Thirty times a second would be longer than a test may take.
        for (let step = 1; step <= 30; step += 1) await reporter.working(`step ${step}`, 'discard');
        expect(await reporter.readBefore()).toBeUndefined();
        speak();
        await expect
          .poll(async () => (await read().catch(() => undefined))?.['summary'], { timeout: 15_000 })
          .toBe('step 30');
        await reporter.working('speaking again', 'discard');
        expect(await read()).toMatchObject({ summary: 'speaking again' });
      });
    },
  );
});
