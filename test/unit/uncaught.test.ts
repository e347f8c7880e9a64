import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ExitCode } from '../../src/support/errors.ts';

/** An engine that takes connections and never answers, so that the command is still at work when something breaks. */
async function withSilentEngine<T>(work: (socketPath: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'uncaught-'));
  const server = createServer();
  const socketPath = join(folder, 'engine.sock');
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  try {
    return await work(socketPath);
  } finally {
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

it.each([
  ['an exception', 'throw'],
  ['a rejection', 'Promise.reject('],
])(
  '%s that nobody catches exits with the status of a defect, and is logged without secrets',
  async (_, how) => {
    const breaks = `setTimeout(() => { ${how} new Error("broken by open-sesame-123")${how.endsWith('(') ? ')' : ''} }, 1500)`;
    const { status, stderr } = await withSilentEngine(
      async (socketPath) =>
        new Promise<{ status: number | null; stderr: string }>((resolve) => {
          const child = spawn(
            process.execPath,
            ['--import', `data:text/javascript,${encodeURIComponent(breaks)}`, 'src/main.ts', 'status'],
            {
              cwd: join(import.meta.dirname, '../..'),
              env: { DOCKER_HOST: `unix://${socketPath}`, CATTLE_SECRET_KEY: 'open-sesame-123' },
              stdio: ['ignore', 'ignore', 'pipe'],
            },
          );
          let text = '';
          child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
          child.once('exit', (code) => {
            resolve({ status: code, stderr: text });
          });
        }),
    );
    expect(stderr).toContain('this is a defect of the entrypoint');
    expect(stderr).toContain('broken by ***');
    expect(stderr).not.toContain('open-sesame-123');
    expect(status).toBe(ExitCode.internal);
  },
  20_000,
);
