import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let folder: string;
let child: ChildProcess | undefined;
let reading: number | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'output-'));
});
afterEach(() => {
  child?.kill('SIGKILL');
  if (reading !== undefined) closeSync(reading);
  reading = undefined;
  rmSync(folder, { recursive: true, force: true });
});

interface Writer {
  readonly pid: number;
  readonly exited: Promise<number | null>;
  /** All lines were handed over. */
  readonly written: Promise<void>;
}

/** Starts a writer into a real pipe, which nobody reads yet. */
function startWriter(stream: 'stdout' | 'stderr', lines: number): Writer {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  reading = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  const writing = openSync(pipe, constants.O_WRONLY);
  const script = join(import.meta.dirname, 'output-writer.ts');
  const started = spawn(process.execPath, [script, stream, String(lines)], {
    stdio: [
      'ignore',
      stream === 'stdout' ? writing : 'ignore',
      stream === 'stderr' ? writing : 'ignore',
      'ipc',
    ],
  });
  closeSync(writing);
  child = started;
  return {
    pid: started.pid ?? 0,
    exited: new Promise((resolve) => started.once('exit', resolve)),
    written: new Promise((resolve) => {
      started.once('message', () => {
        resolve();
      });
    }),
  };
}

/** Everything until the writer has exited. */
async function readAll({ exited }: Writer): Promise<string> {
  let isOver = false;
  void exited.then(() => (isOver = true));
  const pieces: Buffer[] = [];
  for (const piece = Buffer.alloc(1_048_576); ;) {
    const ends = isOver as boolean;
    let length = 0;
    try {
      length = readSync(reading ?? -1, piece);
    } catch {
      // EAGAIN: nothing yet.
    }
    pieces.push(Buffer.from(piece.subarray(0, length)));
    if (ends && length === 0) return Buffer.concat(pieces).toString();
    await sleep(length === 0 ? 5 : 0);
  }
}

describe.each(['stdout', 'stderr'] as const)('%s', (stream) => {
  it('gives a slow reader every line, in order', { timeout: 30_000 }, async () => {
    const writer = startWriter(stream, 3_000);
    await writer.written;
    await sleep(300);
    const lines = (await readAll(writer)).trimEnd().split('\n').map(Number);
    expect(lines).toEqual(Array.from({ length: 3_000 }, (_, index) => index + 1));
    expect(await writer.exited).toBe(7);
  });

  it('keeps no signal from the process while nobody reads', { timeout: 30_000 }, async () => {
    const writer = startWriter(stream, 3_000);
    await writer.written;
    const asked = performance.now();
    process.kill(writer.pid, 'SIGTERM');
    expect(await writer.exited).toBe(143);
    expect(performance.now() - asked).toBeLessThan(2_000);
  });

  it('does not mind that its reader goes away', { timeout: 30_000 }, async () => {
    const writer = startWriter(stream, 3_000);
    await writer.written;
    closeSync(reading ?? -1);
    reading = undefined;
    expect(await writer.exited).toBe(7);
  });
});

it('leaves lines of a log out, and says how many, when too many wait', { timeout: 60_000 }, async () => {
  const writer = startWriter('stderr', 80_000);
  await writer.written;
  const resident = Number(
    /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${writer.pid}/status`, 'utf8'))?.[1],
  );
  expect(resident).toBeLessThan(400_000);
  const lines = (await readAll(writer)).trimEnd().split('\n');
  const dropped = Number(/^WARN: (\d+) lines were left out: nobody read them$/.exec(lines.at(-1) ?? '')?.[1]);
  expect(lines.length - 1 + dropped).toBe(80_000);
  expect(await writer.exited).toBe(7);
});
