import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { EngineRequest } from '../../../src/engine/transport.ts';

/* A question to an engine, and for each test an empty folder for the socket of a server. */

export const question: EngineRequest = {
  what: 'inspect container x',
  method: 'GET',
  path: '/containers/x/json',
  accept: [200],
  deadlineMs: 2_000,
};
/** Whether connections are used again. */
export const kinds = [
  ['kept connections', true],
  ['a connection for each request', false],
] as const;

export let socketPath: string;
export let folder: string;

export function stageSocket(): void {
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'transport-'));
    socketPath = join(folder, 'docker.sock');
  });

  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });
}
