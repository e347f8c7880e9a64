import { execFileSync, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKeptLog, type KeptLog } from '../../../../src/host/files/kept-log.ts';
import { defaultLimits, type Limits } from '../../../../src/support/limits/limits.ts';
import { hasSilentFolders, withSilentFolder } from '../../../support/host/silent-folder.ts';

let folder: string;
let path: string;
let troubles: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kept-log-'));
  path = join(folder, 'entrypoint/worker.log');
  troubles = [];
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

function logWith(limits: Partial<Limits> = {}): KeptLog {
  const onTrouble = (reason: string): void => void troubles.push(reason);
  return createKeptLog({ path, limits: { ...defaultLimits, ...limits }, onTrouble });
}

async function untilItHolds(text: string): Promise<string> {
  return vi.waitFor(async () => {
    const found = await readFile(path, 'utf8');
    expect(found).toContain(text);
    return found;
  });
}

describe("the worker's log on the host", () => {
  it('holds every line in its order, for root alone, behind those of earlier workers', async () => {
    const log = logWith();
    for (let line = 1; line <= 50; line += 1) log.write(`line ${line}\n`);
    const text = await untilItHolds('line 50\n');
    expect(text.split('\n').slice(0, -1)).toEqual(Array.from({ length: 50 }, (_, i) => `line ${i + 1}`));
    await chmod(path, 0o644);
    logWith().write('the next worker\n');
    expect(await untilItHolds('the next worker')).toBe(`${text}the next worker\n`);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(troubles).toEqual([]);
  });

  it('never takes more than twice its limit: the file before is kept, an older one is not', async () => {
    const log = logWith({ WORKER_LOG_BYTES: 10_000 });
    for (let line = 100; line < 600; line += 1) {
      log.write(`line ${line}${' '.repeat(41)}\n`);
      await sleep(1);
    }
    const text = await untilItHolds('line 599');
    const before = await readFile(`${path}.1`, 'utf8');
    expect(text.length).toBeLessThanOrEqual(10_000);
    expect(before.length).toBeLessThanOrEqual(10_000);
    const numbers = (before + text).match(/\d+/g)?.map(Number) ?? [];
    expect(numbers).toEqual(numbers.map((_, index) => 600 - numbers.length + index));
  });

  it('has what a worker said before a SIGKILL', async () => {
    const writer = join(import.meta.dirname, 'kept-log-writer.ts');
    const child = spawn(process.execPath, [writer, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    let heard = '';
    child.stdout.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    await vi.waitFor(() => expect(heard).toContain('100\n'), 10_000);
    const originalMessage = Math.max(...heard.trim().split('\n').map(Number));
    await sleep(20);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    const lines = (await readFile(path, 'utf8')).trim().split('\n');
    expect(lines).toEqual(lines.map((_, index) => `line ${index + 1}`));
    expect(lines.length).toBeGreaterThanOrEqual(originalMessage);
  });

  it.runIf(hasSilentFolders)(
    'keeps nobody waiting on a disk that does not answer, and holds a limited number of lines for it',
    async () => {
      await withSilentFolder(join(folder, 'entrypoint'), async ({ silence, speak }) => {
        silence();
        const log = logWith({ WORKER_LOG_BACKLOG: 1_000 });
        const begun = performance.now();
        for (let line = 0; line < 1_000; line += 1) log.write(`line ${line}${' '.repeat(100)}\n`);
        await sleep(50);
        expect(performance.now() - begun).toBeLessThan(1_000);
        speak();
        const textOf = async (): Promise<string> => readFile(path, 'utf8').catch(() => '');
        await vi.waitFor(async () => expect(await textOf()).toMatch(/\(\d+ lines were left out/));
        expect((await textOf()).length).toBeLessThan(1_300);
        log.write('it answers again\n');
        await vi.waitFor(async () => expect(await textOf()).toContain('it answers again\n'));
      });
    },
  );

  it('writes into no FIFO: it would wait for a reader, with a thread of the process', async () => {
    await mkdir(join(folder, 'entrypoint'));
    execFileSync('mkfifo', [path]);
    const log = logWith();
    log.write('one\n');
    await vi.waitFor(() => expect(troubles).toHaveLength(1));
    expect(troubles[0]).toMatch(/ENXIO|no regular file/);
  });

  it('says once that nothing can be written, and does not follow a link', async () => {
    await mkdir(join(folder, 'entrypoint'));
    await writeFile(join(folder, 'other'), 'as it was');
    await symlink(join(folder, 'other'), path);
    const log = logWith();
    log.write('one\n');
    log.write('two\n');
    await vi.waitFor(() => expect(troubles).toHaveLength(1));
    log.write('three\n');
    await sleep(20);
    expect(troubles).toHaveLength(1);
    expect(await readFile(join(folder, 'other'), 'utf8')).toBe('as it was');
  });
});
