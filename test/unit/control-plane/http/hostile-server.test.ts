import { execFile } from 'node:child_process';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { imageNodeFlags } from '../../../support/run/image-flags.ts';
import { certificates } from '../../../support/server/certificates.ts';

/*
 * A portal, a broken proxy or a man in the middle answers in the place of the server. A real process asks it over TLS, under the flags
 * that the image gives to Node: 128 MB of heap.
 */

type Answers = Readonly<Record<string, { readonly ms: number; readonly says: string }>>;

async function ask(body: string, contentType: string): Promise<Answers> {
  const server = createServer(certificates.server, (_request, response) => {
    response.on('error', () => undefined);
    response.writeHead(200, { 'content-type': contentType });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const client = join(import.meta.dirname, 'hostile-client.ts');
  const authority = join(import.meta.dirname, '../../../support/server/certificates/authority.crt');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...imageNodeFlags(), client, `https://127.0.0.1:${port}`, authority],
    { timeout: 50_000 },
  );
  return JSON.parse(stdout) as Answers;
}

const megabytes = (part: string, end: string, bytes: number): string =>
  part.repeat(Math.floor((bytes - end.length) / part.length)) + end;

describe('an answer that is too long is refused, and the process lives:', () => {
  it.each([
    ['8 MB of small objects', `[${megabytes('{},', '{}]', 8_000_000)}`, 'application/json'],
    ['8 MB of brackets', '['.repeat(8_000_000), 'application/json'],
    [
      'a script with a line of 8 MB',
      `#!/bin/bash\n${megabytes('REQUIRED_IMAGE="', '\n', 8_000_000)}`,
      'text/plain',
    ],
  ])('%s', { timeout: 60_000 }, async (_what, body, contentType) => {
    const answers = await ask(body, contentType);
    expect(answers['request']?.says).toContain('the answer is longer than 1048576 bytes');
    expect(answers['bootstrap']?.says).toContain('the answer is longer than 262144 bytes');
    expect(answers['keys']?.says).toContain('the answer is longer than 1048576 bytes');
    expect(answers['registration']?.says).toMatch(/longer than (1048576|262144) bytes/);
    for (const [name, { ms }] of Object.entries(answers)) expect(ms, name).toBeLessThan(10_000);
  });
});

describe('an answer that is just short enough costs neither the memory nor much time:', () => {
  const most = 1_048_576;
  it.each([
    ['small objects', `[${megabytes('{},', '{}]', most - 1)}`],
    ['brackets', '['.repeat(most)],
    ['closed brackets', '['.repeat(most / 2) + ']'.repeat(most / 2)],
    ['one error with a long text', JSON.stringify({ type: 'error', message: 'a'.repeat(most - 100) })],
    ['a script of 256 kB', `#!/bin/bash\n${megabytes('REQUIRED_IMAGE="a" ', '\n', 262_100)}`],
    ['a script of one long word', `#!/bin/bash\n${megabytes('REQUIRED_IMAGE="', '\n', 262_100)}`],
  ])('%s', { timeout: 60_000 }, async (_what, body) => {
    for (const [name, { ms, says }] of Object.entries(await ask(body, 'application/json'))) {
      expect(says.length, name).toBeLessThan(262_144 * 2);
      expect(ms, name).toBeLessThan(10_000);
    }
  });
});
