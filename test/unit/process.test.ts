import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { imageNodeFlags } from '../support/run/image-flags.ts';
import { FakeDaemon, json } from './fakes/fake-daemon.ts';
import { isRoot } from './host/files/small-disk.ts';

/* The process itself: what signals, readers, exits and other users of the host do to it. */

const root = join(import.meta.dirname, '../..');
const running: ChildProcess[] = [];

afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});

interface Started {
  readonly child: ChildProcess;
  /** Reads what it has written, and everything that follows, until it exits. */
  readonly read: () => Promise<string>;
  readonly pid: number;
  /** How it exited, and after how many ms since it was asked for. */
  readonly exited: Promise<{ readonly status: number | null; readonly signal: NodeJS.Signals | null }>;
  readonly stderr: () => string;
}

/** Starts the program with the flags of the image. Nobody reads its stdout, unless the test does. */
function start(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  { within = [], flags = imageNodeFlags() }: { within?: readonly string[]; flags?: readonly string[] } = {},
): Started {
  const [program = '', ...rest] = [...within, process.execPath, ...flags, 'src/main.ts', ...args];
  // A real pipe, as an engine gives it: Node's own are sockets.
  const pipe = join(mkdtempSync(join(tmpdir(), 'pipe-')), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const reading = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  const writing = openSync(pipe, constants.O_WRONLY);
  const child = spawn(program, rest, {
    cwd: root,
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', writing, 'pipe'],
  });
  closeSync(writing);
  rmSync(dirname(pipe), { recursive: true });
  running.push(child);
  let text = '';
  child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const exited = new Promise<{ status: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (status, signal) => {
      resolve({ status, signal });
    });
  });
  const read = async (): Promise<string> => {
    let all = '';
    for (const piece = Buffer.alloc(65_536); ;) {
      const isOver = child.exitCode !== null || child.signalCode !== null;
      let length = 0;
      try {
        length = readSync(reading, piece);
      } catch {
        // EAGAIN: nothing yet.
      }
      all += piece.toString('utf8', 0, length);
      if (isOver && length === 0) break;
      if (length === 0) await sleep(5);
    }
    closeSync(reading);
    return all;
  };
  return { child, read, pid: child.pid ?? 0, exited, stderr: () => text };
}

/** An engine that takes connections and never answers: the command stays at work. */
async function silentEngine(): Promise<{ readonly host: string; readonly asked: () => number }> {
  const folder = await mkdtemp(join(tmpdir(), 'process-'));
  let asked = 0;
  const server = createServer((socket) => {
    asked += 1;
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(join(folder, 'engine.sock'), resolve));
  onTestFinished(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { host: `unix://${folder}/engine.sock`, asked: () => asked };
}

/** Seconds of CPU that a process has used. */
async function cpuOf(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}

describe('SIGUSR1', () => {
  it.each([
    ['most commands', 0],
    ['cleanup', 1],
  ])('opens no debugger, and ends nothing (flags of %s)', { timeout: 30_000 }, async (_what, index) => {
    const engine = await silentEngine();
    const { pid, child, stderr, exited } = start(
      ['status'],
      { DOCKER_HOST: engine.host },
      { flags: imageNodeFlags(index) },
    );
    await vi.waitFor(() => expect(engine.asked()).toBeGreaterThan(0), { timeout: 10_000 });
    execFileSync('kill', ['-USR1', String(pid)]);
    await sleep(500);
    expect(stderr()).not.toContain('Debugger');
    expect(await isListening(9229)).toBe(false);
    expect(child.exitCode).toBeNull();
    child.kill('SIGTERM');
    expect(await exited).toEqual({ status: 143, signal: null });
  });
});

describe('a reader that is slow', () => {
  const Labels = { 'io.rancher.container.system': 'rancher-agent' };
  const idOf = (index: number): string => index.toString(16).padStart(64, '0');
  const leakedInList = (index: number): object => ({
    Id: idOf(index),
    Names: ['/angry_darwin'],
    Image: 'rancher/agent:v1.0.2',
    ImageID: 'sha256:1',
    Command: '/run.sh inspect-host',
    Created: 1_400_000_000 + index,
    State: 'exited',
    Status: 'Exited (0) 2 hours ago',
    Labels,
  });
  const leakedInspected = (index: number): object => ({
    Id: idOf(index),
    Name: '/angry_darwin',
    Created: '2014-05-13T16:53:20Z',
    Image: 'sha256:1',
    Path: '/run.sh',
    Args: ['inspect-host'],
    State: {
      ...{ Status: 'exited', Running: false, ExitCode: 0 },
      ...{ StartedAt: '2014-05-13T16:53:21Z', FinishedAt: '2014-05-13T16:53:22Z' },
    },
    Config: { Image: 'rancher/agent:v1.0.2', Env: [], Labels },
    HostConfig: {
      Binds: ['/run:/run', '/var/run:/var/run', '/var/lib:/var/lib'],
      RestartPolicy: { Name: 'no' },
    },
  });

  /** A list that is longer than a pipe: the process has written what fits when it was seen to do nothing. */
  async function startListing(): Promise<Started> {
    const count = 3_000;
    const daemon = await FakeDaemon.start();
    onTestFinished(async () => daemon.stop());
    const version = { ApiVersion: '1.43', MinAPIVersion: '1.12', Version: '24.0.0' };
    const info = { OperatingSystem: 'Debian', Driver: 'overlay2', DockerRootDir: '/var/lib/docker' };
    daemon
      .on('GET', '/version', json(200, version))
      .on('GET', '/_ping', json(200, 'OK'))
      .on('GET', '/info', json(200, info))
      .on(
        'GET',
        '/containers/json',
        json(
          200,
          Array.from({ length: count }, (_, index) => leakedInList(index)),
        ),
      );
    for (let index = 0; index < count; index += 1) {
      daemon.on('GET', `/containers/${idOf(index)}/json`, json(200, leakedInspected(index)));
    }
    const started = start(['cleanup', '--dry-run'], { DOCKER_HOST: `unix://${daemon.socketPath}` });
    const inspected = (): number =>
      daemon.seen.filter(({ url }) => /\/[0-9a-f]{64}\/json(\?|$)/.test(url)).length;
    await vi.waitFor(() => expect(inspected(), started.stderr()).toBeGreaterThanOrEqual(count), {
      timeout: 30_000,
    });
    for (let before = -1, now = 0; now - before > 0.05;) {
      before = now;
      await sleep(500);
      now = await cpuOf(started.pid);
    }
    expect(started.child.exitCode).toBeNull();
    return started;
  }

  it('costs no CPU while it is waited for, and gets everything in the end', { timeout: 40_000 }, async () => {
    const { read, pid, exited, stderr } = await startListing();
    const before = await cpuOf(pid);
    await sleep(2_000);
    expect(await cpuOf(pid)).toBeLessThan(before + 0.3);
    const text = await read();
    expect(await exited, stderr()).toEqual({ status: 0, signal: null });
    expect(text.split('\n').filter((line) => line.includes('inspect-host')).length).toBeGreaterThanOrEqual(
      3_000,
    );
    expect(text.trimEnd()).toMatch(/Nothing was removed\.$/);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'keeps no %s from the process',
    { timeout: 40_000 },
    async (signal) => {
      const { child, exited } = await startListing();
      const asked = performance.now();
      child.kill(signal);
      // Its work was done when the signal came.
      expect(await exited).toEqual({ status: 0, signal: null });
      expect(performance.now() - asked).toBeLessThan(3_000);
    },
  );
});

describe('a program that takes the place of this one', () => {
  const script =
    'grep -E "^Sig(Blk|Ign)" /proc/self/status; yes | head -1; echo "${PIPESTATUS[*]}"; grep ^flags /proc/self/fdinfo/1';

  it.each([
    ['as it is', []],
    // What a shell starts in the background ignores SIGINT and SIGQUIT: the launcher of an agent that is process 1 does that.
    ['from a shell that put it into the background', ['sh', '-c', '"$@" & wait "$!"', 'sh']],
    ['with signals that its parent ignores', ['sh', '-c', 'trap "" HUP TERM USR2; exec "$@"', 'sh']],
  ])('(started %s) gets the signals as every program does', { timeout: 20_000 }, async (_how, within) => {
    const { read, exited } = start(['--', 'bash', '-c', script], {}, { within });
    const text = await read();
    expect(await exited).toEqual({ status: 0, signal: null });
    expect(text).toContain('SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\ny\n141 0\n');
    // O_NONBLOCK would be the next surprise: bash loses what does not fit.
    const flags = parseInt(/^flags:\t(\d+)$/m.exec(text)?.[1] ?? '', 8);
    expect(flags & constants.O_NONBLOCK).toBe(0);
  });
});

describe('an exit', () => {
  it.runIf(isRoot)('does not wait for name servers that do not answer', { timeout: 60_000 }, async () => {
    const server = createSocket('udp4');
    await new Promise<void>((resolve) => server.bind(53, '127.0.0.77', resolve));
    onTestFinished(() => {
      server.close();
    });
    const asked = new Promise<void>((resolve) => {
      server.once('message', () => {
        resolve();
      });
    });
    const folder = await mkdtemp(join(tmpdir(), 'resolver-'));
    onTestFinished(async () => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, 'resolv.conf'), 'nameserver 127.0.0.77\noptions timeout:15 attempts:2\n');
    const mount = `mount --bind ${folder}/resolv.conf /etc/resolv.conf && exec "$@"`;
    const { child, exited, stderr } = start(
      ['ready'],
      {
        CATTLE_URL: 'http://rancher.test.invalid:8080/v1',
        CATTLE_ACCESS_KEY: 'access',
        CATTLE_SECRET_KEY: 'secret-of-a-test',
      },
      { within: ['unshare', '--mount', 'sh', '-c', mount, 'sh'] },
    );
    await asked;
    const begun = performance.now();
    child.kill('SIGTERM');
    expect(await exited, stderr()).toEqual({ status: 143, signal: null });
    expect(performance.now() - begun).toBeLessThan(5_000);
  });
});

describe('the arguments of a registration', () => {
  it.runIf(isRoot)(
    'have no token that another user of the host could read',
    { timeout: 30_000 },
    async () => {
      const engine = await silentEngine();
      const token = '9C8D7E:1466640000000:SECRETTOKEN';
      const { pid } = start([`http://rancher.example:8080/v1/scripts/${token}`], {
        DOCKER_HOST: engine.host,
      });
      const readAsNobody = (): string =>
        execFileSync('cat', [`/proc/${pid}/cmdline`], { uid: 65_534, gid: 65_534, encoding: 'latin1' });
      await vi.waitFor(() => expect(readAsNobody()).toContain('http://rancher.example:8080/v1/scripts/***'), {
        timeout: 10_000,
        interval: 50,
      });
      expect(readAsNobody()).not.toMatch(/9C8D7E|SECRETTOKEN/);
    },
  );
});
