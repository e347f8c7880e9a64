import { createServer, type AddressInfo, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHttpClient } from '../../../../src/control-plane/http/client.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { createSecrets } from '../../../../src/support/secrets.ts';

/* An attacker answers in the place of the server, and writes bytes as no server does, for as long as we listen. */

type Answer = (socket: Socket) => void;

const credentials = { accessKey: 'access-key-canary', secretKey: 'secret-key-canary' };
const deadlineMs = 1_500;
const chunked = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';

let answer: Answer;
let port: number;
let stop: () => void;

beforeEach(async () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    socket.once('data', () => answer(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
  stop = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
});
afterEach(() => stop());

/** The head once, then the piece again and again, as fast as it is read. */
function endless(head: string, piece: string): Answer {
  return (socket) => {
    const next = (): void => {
      while (!socket.destroyed && socket.write(piece));
      if (!socket.destroyed) socket.once('drain', () => setImmediate(next));
    };
    socket.write(head);
    next();
  };
}

async function ask(): Promise<string> {
  const client = createHttpClient({
    ...{ limits: defaultLimits, clock: systemClock, log: silentLog, secrets: createSecrets() },
    environment: {},
  });
  const url = `http://127.0.0.1:${port}/v1`;
  return client.request({ method: 'GET', url, credentials, deadlineMs }).then(
    ({ status, text }) => `${status}, ${text.length} characters`,
    (error: unknown) => String(error),
  );
}

describe('an answer that never ends is an error within the deadline, in flat memory:', () => {
  it.each<[string, Answer, RegExp]>([
    ['headers', endless('HTTP/1.1 200 OK\r\n', `a: ${'b'.repeat(1_000)}\r\n`), /Headers Overflow/],
    ['one header', endless('HTTP/1.1 200 OK\r\na: ', 'b'.repeat(65_536)), /Headers Overflow/],
    ['a status line', endless('HTTP/1.1 200 ', 'b'.repeat(65_536)), /timed out/],
    ['early hints', endless('', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(100)), /timed out/],
    ['100 Continue', endless('', 'HTTP/1.1 100 Continue\r\n\r\n'), /closed before/],
    ['one chunk extension', endless(`${chunked}1;`, 'b'.repeat(65_536)), /timed out/],
    ['chunk extensions', endless(chunked, `1;${'b'.repeat(15_000)}\r\na\r\n`), /timed out|longer than/],
    ['trailers', endless(`${chunked}1\r\na\r\n0\r\n`, `a: ${'b'.repeat(1_000)}\r\n`), /Headers Overflow/],
    [
      'a slow drip',
      (socket) => {
        socket.write(chunked);
        const timer = setInterval(() => socket.write('1\r\na\r\n'), 20);
        socket.once('close', () => clearInterval(timer));
      },
      /timed out/,
    ],
  ])('%s', { timeout: 30_000 }, async (_what, hostile, says) => {
    answer = hostile;
    const before = process.memoryUsage().rss;
    const begun = performance.now();
    expect(await ask()).toMatch(says);
    expect(performance.now() - begun).toBeLessThan(10 * deadlineMs);
    // The sender is in this process as well.
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
  });
});

it('a gzip bomb stays packed', async () => {
  const body = gzipSync(Buffer.alloc(100_000_000));
  answer = (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`);
    socket.end(body);
  };
  expect(await ask()).toMatch(/^200, \d{1,6} characters$/);
});

describe('a redirect to another host is not followed:', () => {
  it.each([
    'http://169.254.169.254/latest/',
    'http://127.0.0.1:PORT@169.254.169.254/',
    '//169.254.169.254/',
    String.raw`\\169.254.169.254/x`,
    'http://127.0.0.1:1/',
    'https://127.0.0.1:PORT/',
    'http://localhost:PORT/',
  ])('%s', async (location) => {
    answer = (socket) => {
      const target = location.replace('PORT', String(port));
      socket.end(`HTTP/1.1 302 Found\r\nlocation: ${target}\r\ncontent-length: 0\r\n\r\n`);
    };
    const says = await ask();
    expect(says).toMatch(/^RedirectElsewhereError: .*which is not the server that was asked/);
    expect(says).not.toContain('canary');
  });
});
