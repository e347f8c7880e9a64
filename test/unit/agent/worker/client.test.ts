import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { selectProfile } from '../../../../src/agent/identity/profile.ts';
import { labels, namesOf } from '../../../../src/agent/identity/roles.ts';
import { runThroughWorker } from '../../../../src/agent/worker/client.ts';
import { digestOfRequest, type WorkerRequest } from '../../../../src/agent/worker/request.ts';
import { connectEngine } from '../../../../src/engine/docker-engine.ts';
import { systemClock, type Clock } from '../../../../src/support/clock.ts';
import { defaultLimits, type Limits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { hungLine } from '../../../../src/agent/worker/hung-worker.ts';
import { empty, FakeDaemon, json, text, type Answer } from '../../fakes/fake-daemon.ts';

/* The caller's side of the work on an engine without AutoRemove, answering as engine-notes §2 records 1.10.3. */

/** Gives the event loop a turn, so that what is waited for beside it can come. */
const clock: Clock = {
  now: Date.now,
  elapsed: Date.now,
  sleep: async (_ms, signal) => {
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  },
  random: () => 0,
};
const names = namesOf(selectProfile('rancher-1.2', {}));
const request: WorkerRequest = { task: 'upgrade', workerImage: 'rancher/agent:v2', environment: {} };
const old = 'a'.repeat(64);
const made = 'b'.repeat(64);
const taken = text(
  409,
  `Conflict. The name "/${names.worker}" is already in use by container ${old}. You have to remove (or rename) it.\n`,
);

let daemon: FakeDaemon;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
  daemon.on('GET', '/version', json(200, { Version: '1.10.3', ApiVersion: '1.22' }));
  daemon.on('POST', '/containers/create', json(201, { Id: made }));
  worker(made, 'running');
  daemon.on('POST', `/containers/${made}/start`, empty(204));
  daemon.on('POST', `/containers/${made}/wait`, json(200, { StatusCode: 0 }));
  daemon.on('GET', `/containers/${made}/logs`, text(200, ''));
  daemon.on('DELETE', `/containers/${made}`, empty(204));
});
afterEach(async () => daemon.stop());

interface Facts {
  readonly digest?: string;
  readonly privileged?: boolean;
  readonly startedAt?: number;
  readonly name?: string;
}

function inspection(id: string, status: string, facts: Facts = {}): Answer {
  const { digest = digestOfRequest(request), privileged = true, startedAt, name = names.worker } = facts;
  return json(200, {
    Id: id,
    Name: `/${name}`,
    Image: 'sha256:2',
    State: {
      ...{ Status: status, Running: status === 'running', Dead: status === 'dead', ExitCode: 0 },
      ...(startedAt === undefined ? {} : { StartedAt: new Date(startedAt).toISOString() }),
    },
    Config: { Image: request.workerImage, Labels: { [labels.role]: 'worker', [labels.request]: digest } },
    HostConfig: { Privileged: privileged, Binds: ['/var/run/docker.sock:/var/run/docker.sock'] },
  });
}

function worker(id: string, status: string): void {
  daemon.on('GET', `/containers/${id}/json`, inspection(id, status));
}

async function ask(
  limits: Limits = defaultLimits,
  waiting: Clock = clock,
  write: (chunk: Buffer) => void = () => undefined,
): Promise<number> {
  const engine = await connectEngine({
    socketPath: daemon.socketPath,
    apiVersion: undefined,
    userAgent: 'test',
    limits,
    log: silentLog,
    clock,
  });
  return runThroughWorker(
    {
      engine,
      names,
      limits,
      clock: waiting,
      log: silentLog,
      stateVolume: 'rancher-agent-state',
      write,
      signal: new AbortController().signal,
    },
    request,
  );
}

function changes(): readonly string[] {
  return daemon.seen
    .filter(({ method, url }) => method !== 'GET' || url.includes('/logs'))
    .map(({ method, url }) => `${method} ${url.replace(/\?.*/, '').replace('/containers/', '')}`);
}

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
    expect((error as { hint: string }).hint).toContain('restarting the Docker daemon frees');
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

/** Answers a create by the name that it asks for. */
function creates(answers: Readonly<Record<string, Answer>>): void {
  daemon.on('POST', '/containers/create', (response, seen) => {
    const name = new URL(seen.url, 'http://engine').searchParams.get('name') ?? '';
    (answers[name] ?? taken)(response, seen);
  });
}

const [first = '', second = '', third = ''] = names.workers;
const created = json(201, { Id: made });
const forged = { privileged: false } as const;

describe('a container of somebody else under the name of a worker', () => {
  it.each(['running', 'exited', 'created', 'paused'])(
    'that has our labels and is %s is neither followed nor believed nor touched: the next name is used',
    async (state) => {
      creates({ [second]: created });
      daemon.on('GET', `/containers/${first}/json`, inspection(old, state, forged));
      daemon.on('POST', `/containers/${old}/wait`, json(200, { StatusCode: 0 }));
      daemon.on('POST', `/containers/${made}/wait`, json(200, { StatusCode: 73 }));
      expect(await ask()).toBe(73);
      expect(daemon.seen.filter(({ method, url }) => method !== 'GET' && url.includes(old))).toEqual([]);
      expect(daemon.countOf('GET', `/containers/${old}/logs`)).toBe(0);
    },
  );

  it('under every name of it is named with its cause', async () => {
    daemon.on('POST', '/containers/create', taken);
    for (const name of names.workers)
      daemon.on('GET', `/containers/${name}/json`, inspection(old, 'running', { ...forged, name }));
    const error: unknown = await ask().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'role-name-taken', exitCode: 73 });
    expect(String(error)).toContain(`${third} (${old.slice(0, 12)}`);
    expect(daemon.countOf('POST', '/containers/create')).toBe(names.workers.length);
  });

  it('whose request is another one’s is no worker to wait for either', async () => {
    creates({ [second]: created });
    daemon.on('GET', `/containers/${first}/json`, inspection(old, 'running', { ...forged, digest: 'x' }));
    expect(await ask()).toBe(0);
  });
});

describe('a worker that was found', () => {
  const never: Answer = (response) => response.writeHead(200).flushHeaders();

  /** Time passes in sleep only. */
  function virtualClock(): Clock & { readonly slept: () => number } {
    let at = 0;
    return {
      now: () => Date.UTC(2026, 0, 1) + at,
      elapsed: () => at,
      random: () => 0,
      slept: () => at,
      sleep: async (ms, signal) => {
        await new Promise((resolve) => setImmediate(resolve));
        signal?.throwIfAborted();
        at += ms;
      },
    };
  }

  /** It runs since then and never exits. */
  function endless(startedAt: number): void {
    daemon.on('GET', '/version', json(200, { Version: '20.10.24', ApiVersion: '1.41' }));
    daemon.on('POST', '/containers/create', taken);
    for (const id of [first, old])
      daemon.on('GET', `/containers/${id}/json`, inspection(old, 'running', { startedAt }));
    daemon.on('POST', `/containers/${old}/wait`, never);
    daemon.on('GET', `/containers/${old}/logs`, never);
  }

  it.each([
    ['its caller’s time', 0, defaultLimits.FOLLOW_TOTAL],
    ['what is left of its life', 50 * 60_000, defaultLimits.WORKER_LIFE - 50 * 60_000],
  ])('is followed no longer than %s', async (_case, age, most) => {
    const waiting = virtualClock();
    endless(waiting.now() - age);
    await expect(ask({ ...defaultLimits, FOLLOW_POLL: 60_000 }, waiting)).rejects.toMatchObject({
      exitCode: 75,
    });
    expect(waiting.slept()).toBeGreaterThanOrEqual(most);
    expect(waiting.slept()).toBeLessThan(most + 120_000);
  });

  it('that has run longer than a worker may is not followed at all', async () => {
    const waiting = virtualClock();
    endless(waiting.now() - 25 * 3_600_000);
    const error: unknown = await ask(defaultLimits, waiting).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ exitCode: 75 });
    expect(String(error)).toContain(`${first} has run for 25 h`);
    expect(waiting.slept()).toBe(0);
  });
});

it('a worker that the engine is removing, and shows as dead, keeps no name: the next try gets it', async () => {
  daemon.on('POST', '/containers/create', taken, taken, created);
  daemon.on('GET', `/containers/${first}/json`, inspection(old, 'dead'));
  daemon.on('DELETE', `/containers/${old}`, text(409, 'removal of container is already in progress'));
  expect(await ask()).toBe(0);
  expect(daemon.countOf('POST', `/containers/${old}/rename`)).toBe(0);
  const asked = daemon.seen.filter(({ url }) => url.includes('/containers/create')).map(({ url }) => url);
  expect(asked.filter((url) => url.endsWith(`name=${first}`))).toHaveLength(3);
});

describe('a worker that Docker 1.10 lists as dead and cannot inspect', () => {
  beforeEach(() => {
    daemon.on('GET', `/containers/${first}/json`, text(404, `no such id: ${first}\n`));
    daemon.on('GET', '/containers/json', json(200, [{ Id: old, Names: [`/${first}`], Status: 'Dead' }]));
  });

  it('is removed by its id in the list', async () => {
    daemon.on('POST', '/containers/create', taken, created);
    daemon.on('DELETE', `/containers/${old}`, empty(204));
    expect(await ask()).toBe(0);
    expect(changes().slice(0, 3)).toEqual(['POST create', `DELETE ${old}`, 'POST create']);
  });

  it('and cannot be removed or renamed keeps its name: the next one is used', async () => {
    creates({ [second]: created });
    daemon.on('DELETE', `/containers/${old}`, text(500, 'Driver overlay failed to remove root filesystem\n'));
    daemon.on('POST', `/containers/${old}/rename`, text(404, `no such id: ${old}\n`));
    expect(await ask()).toBe(0);
    expect(daemon.countOf('POST', '/containers/create')).toBe(2);
  });
});

it('a name that the engine calls taken and that no container has is left for the next one', async () => {
  creates({ [second]: created });
  daemon.on('GET', `/containers/${first}/json`, text(404, 'no such id\n'));
  daemon.on('GET', '/containers/json', json(200, []));
  expect(await ask()).toBe(0);
  expect(daemon.countOf('POST', '/containers/create')).toBe(defaultLimits.WORKER_GHOST_LOOKS + 2);
});

describe('a worker that yields to another one, which the engine started first', () => {
  const other = 'c'.repeat(64);

  function yields(startedAt: number): void {
    daemon.on(
      'POST',
      `/containers/${made}/wait`,
      json(200, { StatusCode: 75 }),
      json(200, { StatusCode: 0 }),
    );
    const at = inspection(other, 'running', { digest: 'another', name: second, startedAt });
    daemon.on('GET', `/containers/${second}/json`, at, text(404, 'gone'));
    daemon.on('GET', `/containers/${other}/json`, at);
    daemon.on('POST', `/containers/${other}/wait`, json(200, { StatusCode: 0 }));
    daemon.on('GET', `/containers/${other}/logs`, text(200, ''));
    daemon.on('DELETE', `/containers/${other}`, empty(204));
  }

  it('has its caller follow that one, and then has its turn', async () => {
    yields(Date.now() - 10_000);
    expect(await ask()).toBe(0);
    expect(daemon.countOf('POST', `/containers/${other}/wait`)).toBe(1);
    expect(daemon.countOf('POST', '/containers/create')).toBe(2);
  });

  it('is not confused with one that exits with 75 for a reason of its own', async () => {
    yields(Date.now() + 10_000);
    expect(await ask()).toBe(75);
    expect(daemon.countOf('POST', '/containers/create')).toBe(1);
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
    daemon.on('GET', `/containers/${first}/json`, inspection(made, 'running'));
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
