import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/support/clock.ts';
import { defaultLimits, type Limits } from '../../../../src/support/limits/limits.ts';
import { hungLine } from '../../../../src/agent/worker/hung-worker.ts';
import { empty, json, text } from '../../fakes/fake-daemon.ts';
import { names, old, made, taken, daemon, stageDaemon, inspection, ask, changes } from './client-stage.ts';

stageDaemon();

describe('a worker on the engine of the incident (1.10.3)', () => {
  it('is waited for after its start, since a wait before it would end at once, and removed by its caller', async () => {
    expect(await ask()).toBe(0);
    const order = changes().filter((change) => !change.endsWith('/logs'));
    expect(order).toEqual([
      'POST create',
      ...['attach', 'start', 'wait'].map((what) => `POST ${made}/${what}`),
      `DELETE ${made}`,
    ]);
    expect(JSON.parse(daemon.seen.find(({ url }) => url.includes('/create'))?.body ?? '')).not.toHaveProperty(
      'HostConfig.AutoRemove',
    );
  });

  it('whose status is not 0 says so: its status is the caller’s', async () => {
    daemon.on('POST', `/containers/${made}/wait`, json(200, { StatusCode: 73 }));
    expect(await ask()).toBe(73);
  });

  it.each(['exited', 'dead'])(
    'that has ended (%s) and stayed, its caller killed, gives up its name',
    async (state) => {
      daemon.on('POST', '/containers/create', taken, json(201, { Id: made }));
      daemon.on('GET', `/containers/${names.worker}/json`, inspection(old, state));
      daemon.on('DELETE', `/containers/${old}`, empty(204));
      expect(await ask()).toBe(0);
      expect(changes().slice(0, 3)).toEqual(['POST create', `DELETE ${old}`, 'POST create']);
    },
  );

  it('that is dead and cannot be removed is parked under a name of its own', async () => {
    daemon.on('POST', '/containers/create', taken, json(201, { Id: made }));
    daemon.on('GET', `/containers/${names.worker}/json`, inspection(old, 'dead'));
    daemon.on('DELETE', `/containers/${old}`, text(500, 'Driver overlay failed to remove root filesystem\n'));
    daemon.on('POST', `/containers/${old}/rename`, empty(204));
    expect(await ask()).toBe(0);
    const rename = daemon.seen.find(({ url }) => url.includes('/rename'));
    expect(rename?.url).toContain(`name=${names.deadWorker}`);
  });

  it('whose name is taken by a container that the engine cannot find is tried a limited number of times', async () => {
    daemon.on('POST', '/containers/create', taken);
    daemon.on('GET', `/containers/${names.worker}/json`, text(404, `no such id: ${names.worker}\n`));
    daemon.on('GET', '/containers/json', json(200, []));
    const error: unknown = await ask().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'cannot-change', exitCode: 73 });
    expect(String(error)).toContain(`${names.worker} (the engine calls the name taken`);
    expect((error as { hint: string }).hint).toContain('systemctl restart docker frees');
    const tries = defaultLimits.WORKER_GHOST_LOOKS + names.workers.length;
    expect(daemon.countOf('POST', '/containers/create')).toBe(tries);
  });
});

it('on an engine of today it is waited for before its start, and the engine removes it', async () => {
  daemon.on('GET', '/version', json(200, { Version: '20.10.24', ApiVersion: '1.41' }));
  expect(await ask()).toBe(0);
  const order = changes().filter((change) => !change.endsWith('/logs'));
  expect(order).toEqual([
    'POST create',
    ...['wait', 'attach', 'start'].map((what) => `POST ${made}/${what}`),
  ]);
});

describe('a worker that can not end, a disk of its host being silent', () => {
  const impatient: Limits = { ...defaultLimits, FOLLOW_POLL: 50, WORKER_GONE_PAUSE: 50 };

  /** It has said so, in two pieces, and goes on running. */
  function hungWorker(exitsAfterMs: number): void {
    daemon.on('GET', '/version', json(200, { Version: '20.10.24', ApiVersion: '1.41' }));
    daemon.on('POST', `/containers/${made}/wait`, (response) => {
      response.writeHead(200).flushHeaders();
      setTimeout(() => response.end('{"StatusCode":75}'), exitsAfterMs).unref();
    });
    daemon.on('GET', `/containers/${made}/logs`, (response) => {
      response.writeHead(200, { 'Content-Type': 'application/vnd.docker.raw-stream' });
      const line = `WARNING: something before\n${hungLine(75)}`;
      response.write(line.slice(0, 40));
      setTimeout(() => response.write(line.slice(40)), 20);
    });
  }

  it('is not waited for: its caller ends as it meant to end, and makes no other one', async () => {
    hungWorker(60_000);
    expect(await ask(impatient, systemClock)).toBe(75);
    expect(daemon.countOf('POST', '/containers/create')).toBe(1);
    expect(daemon.countOf('DELETE', `/containers/${made}`)).toBe(0);
  });

  it('that had something else to do keeps nobody: they are told, and make no other one', async () => {
    hungWorker(60_000);
    daemon.on('POST', '/containers/create', taken);
    daemon.on('GET', `/containers/${names.worker}/json`, inspection(made, 'running', { digest: 'another' }));
    const error: unknown = await ask(impatient, systemClock).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ exitCode: 75 });
    expect(String(error)).toContain('the worker is hung: a disk on this host is not responding');
    expect(daemon.countOf('POST', '/containers/create')).toBe(1);
  });

  it('and ends nevertheless, as most do, has its own status', async () => {
    hungWorker(60);
    expect(await ask({ ...impatient, FOLLOW_POLL: 5_000 }, systemClock)).toBe(75);
  });
});

describe('on a loaded host', () => {
  const impatient: Limits = { ...defaultLimits, FOLLOW_POLL: 20, WORKER_GONE_PAUSE: 500 };

  /** The engine has removed the worker, and its answer to the wait comes later. */
  function removedAndAnswered(afterMs: number): void {
    daemon.on('GET', '/version', json(200, { Version: '20.10.24', ApiVersion: '1.41' }));
    daemon.on('GET', `/containers/${made}/json`, text(404, 'no such container'));
    daemon.on('POST', `/containers/${made}/wait`, (response) => {
      response.writeHead(200).flushHeaders();
      setTimeout(() => response.end('{"StatusCode":73}'), afterMs).unref();
    });
  }

  it('a worker that was removed before its end was told: the end is waited for, and nothing is done twice', async () => {
    removedAndAnswered(150);
    expect(await ask(impatient, systemClock)).toBe(73);
    expect(daemon.countOf('POST', '/containers/create')).toBe(1);
  });

  it('but not for ever: then it is done again, a bounded number of times', async () => {
    removedAndAnswered(60_000);
    const quick = { ...impatient, WORKER_GONE_PAUSE: 20 };
    await expect(ask(quick, systemClock)).rejects.toMatchObject({ exitCode: 75 });
    expect(daemon.countOf('POST', '/containers/create')).toBe(defaultLimits.WORKER_ROUNDS);
  });
});

describe('what a worker prints, on an engine whose log driver cannot be read', () => {
  const unreadable = text(501, 'configured logging driver does not support reading');
  const said: string[] = [];
  const listen = async (): Promise<number> =>
    ask(defaultLimits, systemClock, (chunk) => said.push(chunk.toString()));

  beforeEach(() => {
    said.length = 0;
    daemon.on('GET', '/version', json(200, { Version: '20.10.24', ApiVersion: '1.41' }));
    daemon.on('GET', `/containers/${made}/logs`, unreadable);
    daemon.on('POST', `/containers/${made}/attach`, text(200, 'INFO: env "TOKEN=1"\n'));
  });

  it('arrives all the same: its caller attaches before the start', async () => {
    expect(await listen()).toBe(0);
    expect(said.join('')).toBe('INFO: env "TOKEN=1"\n');
    expect(daemon.countOf('GET', `/containers/${made}/logs`)).toBe(0);
    const asked = daemon.seen.find(({ url }) => url.includes('/attach'))?.url ?? '';
    expect(Object.fromEntries(new URLSearchParams(asked.split('?')[1]))).toEqual({
      ...{ stream: '1', stdout: '1', stderr: '1' },
    });
  });

  it('of a worker that was found arrives from then on', async () => {
    daemon.on('POST', '/containers/create', taken);
    daemon.on('GET', `/containers/${names.workers[0] ?? ''}/json`, inspection(made, 'running'));
    expect(await listen()).toBe(0);
    expect(said.join('')).toBe('INFO: env "TOKEN=1"\n');
  });

  it('is read in the log, where the engine does not let us attach', async () => {
    daemon.on('POST', `/containers/${made}/attach`, text(500, 'no'));
    daemon.on('GET', `/containers/${made}/logs`, text(200, 'INFO: from the log\n'));
    expect(await listen()).toBe(0);
    expect(said.join('')).toBe('INFO: from the log\n');
  });
});

it('what a worker logs reaches a terminal without what a terminal would obey', async () => {
  const line = Buffer.from('INFO: \u001B]0;title\u0007ü\u202Ex\n');
  daemon.on('GET', `/containers/${made}/logs`, (response) => {
    response.writeHead(200);
    // In two pieces: a character may be cut.
    response.write(line.subarray(0, 17));
    setTimeout(() => response.end(line.subarray(17)), 20);
  });
  const shown: Buffer[] = [];
  expect(await ask(defaultLimits, systemClock, (chunk) => shown.push(chunk))).toBe(0);
  expect(Buffer.concat(shown).toString()).toBe('INFO: \\x1b]0;title\\x07ü\\u202ex\n');
});

it('a log server that does not answer is named, since it keeps a worker from its start', async () => {
  const message =
    'failed to initialize logging driver: dial tcp 127.0.0.1:24224: connect: connection refused';
  daemon.on('POST', `/containers/${made}/start`, json(500, { message }));
  await expect(ask()).rejects.toMatchObject({
    exitCode: 73,
    hint: expect.stringContaining('start its log server') as string,
  });
});

it('a missing image of the worker is named, and no name is called taken', async () => {
  daemon.on('POST', '/containers/create', json(404, { message: 'No such image: rancher/agent:v2' }));
  await expect(ask()).rejects.toMatchObject({
    exitCode: 73,
    message: expect.stringContaining('its image is not on this host: rancher/agent:v2') as string,
  });
  expect(daemon.countOf('POST', '/containers/create')).toBe(1);
});
