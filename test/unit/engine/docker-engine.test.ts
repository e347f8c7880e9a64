import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectEngine } from '../../../src/engine/docker-engine.ts';
import type { EngineOptions } from '../../../src/engine/reads.ts';
import type { ContainerSpec, Engine } from '../../../src/engine/engine.ts';
import { isEngineError } from '../../../src/engine/errors.ts';
import type { RegistryAuth } from '../../../src/engine/registry-auth.ts';
import type { Clock } from '../../../src/support/clock.ts';
import { defaultLimits, type Limits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { cutAtOnce, cutInTheBody, empty, FakeDaemon, json, silence, text } from '../fakes/fake-daemon.ts';

/** Short enough for a test, long enough for a slow machine. */
const deadline = 300;
const limits: Limits = {
  ...defaultLimits,
  ENGINE_CONNECT: deadline,
  INSPECT: deadline,
  LIST: deadline,
  CREATE: deadline,
  START: deadline,
  STOP: deadline,
  RENAME: deadline,
  REMOVE: deadline,
  PULL_SILENCE: deadline,
};
/** Pauses between tries cost nothing here. */
const clock: Clock = {
  now: Date.now,
  elapsed: Date.now,
  sleep: async () => Promise.resolve(),
  random: () => 0,
};
const id = 'f'.repeat(64);
const details = {
  Id: id,
  Name: '/rancher-agent',
  Image: 'sha256:abc',
  State: { Status: 'running', Running: true, StartedAt: '2026-01-01T00:00:00Z' },
  Config: { Image: 'rancher/agent:v1', Env: [], Labels: {} },
};
const spec: ContainerSpec = {
  image: 'rancher/agent:v2',
  command: ['run'],
  environment: { CATTLE_SECRET_KEY: 'do-not-tell' },
  labels: {},
  restart: 'always',
  autoRemove: false,
  privileged: true,
  hostNetwork: true,
  hostPid: true,
  binds: [],
};

let daemon: FakeDaemon;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
  daemon.on('GET', '/version', json(200, { Version: '20.10.24', ApiVersion: '1.41' }));
});

afterEach(async () => {
  await daemon.stop();
});

async function connect(parts: Partial<EngineOptions> = {}): Promise<Engine> {
  return connectEngine({
    socketPath: daemon.socketPath,
    apiVersion: undefined,
    userAgent: 'test',
    limits,
    log: silentLog,
    clock,
    ...parts,
  });
}

describe('connecting', () => {
  it('asks for the version without a prefix, and uses none afterwards', async () => {
    daemon.on('GET', `/containers/${id}/json`, json(200, details));
    const engine = await connect();
    await engine.inspectContainer(id);
    expect(daemon.seen.map(({ url }) => url.replace(/\?.*/, ''))).toEqual([
      '/version',
      `/containers/${id}/json`,
    ]);
    expect(engine.version).toEqual({ engine: '20.10.24', api: '1.41' });
  });

  it.each([
    ['no socket', '/nowhere/docker.sock', /there is no Docker socket/],
    ['a file that is no socket', import.meta.filename, /nothing listens on the Docker socket/],
  ])('%s is told with what to do', async (_, socketPath, message) => {
    const error: unknown = await connect({ socketPath }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'engine-unavailable', exitCode: 69 });
    expect(String(error)).toMatch(message);
    expect(error).toHaveProperty('hint');
  });

  it('a frozen daemon is given up after the deadline, try for try', async () => {
    daemon.on('GET', '/version', silence);
    const started = Date.now();
    await expect(connect()).rejects.toMatchObject({ code: 'engine-unavailable' });
    expect(Date.now() - started).toBeLessThan(deadline * limits.CALL_TRIES + 1_000);
    expect(daemon.countOf('GET', '/version')).toBe(limits.CALL_TRIES);
  });

  it('a proxy’s error page instead of a version is an engine that can’t be reached, not a defect of ours', async () => {
    daemon.on('GET', '/version', text(200, '<html>it works</html>'));
    await expect(connect()).rejects.toMatchObject({ code: 'engine-unavailable' });
  });
});

describe('an engine that does not answer', () => {
  it('a read is tried again, and a second answer is good enough', async () => {
    daemon.on('GET', `/containers/${id}/json`, silence, json(200, details));
    const engine = await connect();
    expect((await engine.inspectContainer(id))?.name).toBe('rancher-agent');
  });

  it.each([
    ['before the headers', cutAtOnce],
    ['in the body', cutInTheBody],
  ])(
    'a connection cut %s is an error at once, long before the deadline',
    async (_, cut) => {
      daemon.on('GET', `/containers/${id}/json`, cut);
      const engine = await connect({ limits: { ...limits, INSPECT: 60_000 } });
      await expect(engine.inspectContainer(id)).rejects.toMatchObject({ code: 'engine-unavailable' });
      expect(daemon.countOf('GET', `/containers/${id}/json`)).toBe(limits.CALL_TRIES);
    },
    5_000,
  );

  it('a change is not tried again: it may have been done', async () => {
    daemon.on('POST', `/containers/${id}/start`, silence);
    daemon.on('POST', '/containers/create', cutAtOnce);
    daemon.on('DELETE', `/containers/${id}`, cutAtOnce);
    const engine = await connect();
    await expect(engine.startContainer(id)).rejects.toMatchObject({ code: 'engine-unavailable' });
    await expect(engine.createContainer('a', spec)).rejects.toMatchObject({ code: 'engine-unavailable' });
    await expect(engine.removeContainer(id, { force: false })).rejects.toMatchObject({
      code: 'engine-unavailable',
    });
    expect(daemon.countOf('POST', `/containers/${id}/start`)).toBe(1);
    expect(daemon.countOf('POST', '/containers/create')).toBe(1);
    expect(daemon.countOf('DELETE', `/containers/${id}`)).toBe(1);
  });

  it('a stop may take its grace and the deadline on top', async () => {
    daemon.on('POST', `/containers/${id}/stop`, (response) => {
      setTimeout(() => response.writeHead(204).end(), deadline * 1.5);
    });
    const engine = await connect();
    await expect(engine.stopContainer(id, deadline * 2)).resolves.toBeUndefined();
  });

  it('an abort ends a call in hand with its reason', async () => {
    daemon.on('GET', '/info', silence);
    const abort = new AbortController();
    const engine = await connect({ signal: abort.signal, limits: { ...limits, LIST: 60_000 } });
    setTimeout(() => {
      abort.abort(new Error('SIGTERM'));
    }, 20);
    await expect(engine.readInfo()).rejects.toThrow('SIGTERM');
  }, 5_000);
});

describe('an engine that says no', () => {
  it.each([
    [400, 'refused'],
    [404, 'not-found'],
    [409, 'conflict'],
    [500, 'failed'],
    [503, 'failed'],
  ] as const)(
    '%d is kind %s, in the engine’s own words, whether plain text or JSON',
    async (status, kind) => {
      const engine = await connect();
      for (const answer of [
        text(status, 'no space left on device\n'),
        json(status, { message: 'no space left on device' }),
      ]) {
        daemon.on('POST', `/containers/${id}/start`, answer);
        const error: unknown = await engine.startContainer(id).catch((thrown: unknown) => thrown);
        expect(isEngineError(error, kind) && error.originalMessage).toBe('no space left on device');
      }
    },
  );

  it('an answer without a word is still an error that can be read', async () => {
    daemon.on('POST', `/containers/${id}/start`, empty(500));
    const engine = await connect();
    await expect(engine.startContainer(id)).rejects.toThrow('(no message)');
  });

  it('a read that fails with 500 is tried again, one that is refused is not', async () => {
    daemon.on('GET', '/info', text(500, 'driver failed'), json(200, { Driver: 'overlay2' }));
    daemon.on('GET', '/containers/json', text(400, 'bad filter'));
    const engine = await connect();
    expect((await engine.readInfo()).storageDriver).toBe('overlay2');
    await expect(engine.listContainers({ names: ['a'] })).rejects.toSatisfy((error) =>
      isEngineError(error, 'refused'),
    );
    expect(daemon.countOf('GET', '/containers/json')).toBe(1);
  });
});

describe('what is done already', () => {
  it.each([
    ['start', 304],
    ['stop', 304],
  ] as const)('%s: %d is success', async (verb, status) => {
    daemon.on('POST', `/containers/${id}/${verb}`, empty(status));
    const engine = await connect();
    const done = verb === 'start' ? engine.startContainer(id) : engine.stopContainer(id, 0);
    await expect(done).resolves.toBeUndefined();
  });

  it('removing what is gone is success, removing what is being removed is a conflict', async () => {
    daemon.on(
      'DELETE',
      `/containers/${id}`,
      text(404, 'no such container'),
      text(409, 'already in progress'),
    );
    const engine = await connect();
    await expect(engine.removeContainer(id, { force: false })).resolves.toBeUndefined();
    await expect(engine.removeContainer(id, { force: false })).rejects.toSatisfy((error) =>
      isEngineError(error, 'conflict'),
    );
  });

  it('removes by force only when asked to, and never volumes', async () => {
    daemon.on('DELETE', `/containers/${id}`, empty(204));
    const engine = await connect();
    await engine.removeContainer(id, { force: false });
    await engine.removeContainer(id, { force: true });
    const [gentle, forced] = daemon.seen.slice(-2).map(({ url }) => url);
    expect(gentle).not.toMatch(/force|v=1/);
    expect(forced).toMatch(/force=1/);
    expect(forced).not.toMatch(/[?&]v=/);
  });

  it('a container that isn’t there is undefined, a volume that isn’t there is false', async () => {
    daemon.on('GET', `/containers/${id}/json`, text(404, 'no such container'));
    daemon.on('GET', '/volumes/state', json(404, { message: 'no such volume' }));
    const engine = await connect();
    expect(await engine.inspectContainer(id)).toBeUndefined();
    expect(await engine.hasVolume('state')).toBe(false);
  });
});

describe('lists', () => {
  const entry = (name: string, labels: object = {}): object => ({
    Id: name,
    Names: [`/${name}`],
    Labels: labels,
  });

  it('an old engine ignores a filter it does not know: nobody else’s container comes through', async () => {
    daemon.on(
      'GET',
      '/containers/json',
      json(200, [entry('rancher-agent'), entry('rancher-agent-x'), entry('db')]),
    );
    const engine = await connect();
    const found = await engine.listContainers({ names: ['rancher-agent'] });
    expect(found.map(({ name }) => name)).toEqual(['rancher-agent']);
  });

  it('the same for labels, with or without a value', async () => {
    daemon.on(
      'GET',
      '/containers/json',
      json(200, [entry('a', { role: 'agent' }), entry('b', { role: 'worker' }), entry('c')]),
    );
    const engine = await connect();
    const namesBy = async (label: string): Promise<string[]> =>
      (await engine.listContainers({ label })).map(({ name }) => name);
    expect(await namesBy('role')).toEqual(['a', 'b']);
    expect(await namesBy('role=worker')).toEqual(['b']);
  });

  it('a label’s value may hold an equals sign', async () => {
    daemon.on(
      'GET',
      '/containers/json',
      json(200, [entry('a', { labels: 'x=y' }), entry('b', { labels: 'x' })]),
    );
    const engine = await connect();
    expect((await engine.listContainers({ label: 'labels=x=y' })).map(({ name }) => name)).toEqual(['a']);
  });

  it('stopped containers are asked for as well', async () => {
    daemon.on('GET', '/containers/json', json(200, []));
    const engine = await connect();
    await engine.listContainers({ names: ['a'] });
    expect(daemon.seen.at(-1)?.url).toMatch(/[?&]all=1/);
  });
});

describe('creating', () => {
  it('sends the keys in the body and never in the URL: URLs end up in logs', async () => {
    daemon.on('POST', '/containers/create', json(201, { Id: id }));
    const engine = await connect();
    expect(await engine.createContainer('rancher-agent-next', spec)).toBe(id);
    const seen = daemon.seen.at(-1);
    expect(seen?.url).toBe('/containers/create?name=rancher-agent-next');
    expect(seen?.url).not.toContain('do-not-tell');
    expect(JSON.stringify(seen?.headers)).not.toContain('do-not-tell');
    expect(JSON.parse(seen?.body ?? '')).toMatchObject({
      Image: 'rancher/agent:v2',
      Env: ['CATTLE_SECRET_KEY=do-not-tell'],
    });
  });

  it('no error tells the keys', async () => {
    daemon.on('POST', '/containers/create', text(500, 'no space left on device'));
    const engine = await connect();
    const error: unknown = await engine.createContainer('a', spec).catch((thrown: unknown) => thrown);
    expect(JSON.stringify(error) + String(error)).not.toContain('do-not-tell');
  });

  it('a taken name is a conflict, whatever the words', async () => {
    daemon.on(
      'POST',
      '/containers/create',
      text(409, 'Conflict. The name "a" is already in use by container 0123.'),
    );
    const engine = await connect();
    await expect(engine.createContainer('a', spec)).rejects.toSatisfy((error) =>
      isEngineError(error, 'conflict'),
    );
  });

  it('an answer without an id is an error', async () => {
    daemon.on('POST', '/containers/create', json(201, { Warnings: null }));
    const engine = await connect();
    await expect(engine.createContainer('a', spec)).rejects.toSatisfy((error) =>
      isEngineError(error, 'garbled'),
    );
  });
});

describe('version gates', () => {
  it('a restart policy that the engine would pretend to change is not asked for (1.22)', async () => {
    daemon.on('GET', '/version', json(200, { ApiVersion: '1.22' }));
    const engine = await connect();
    await engine.setRestartPolicy(id, 'no');
    expect(daemon.countOf('POST', `/containers/${id}/update`)).toBe(0);
  });

  it('from 1.23 it is switched off', async () => {
    daemon.on('POST', `/containers/${id}/update`, json(200, { Warnings: null }));
    const engine = await connect();
    await engine.setRestartPolicy(id, 'no');
    expect(JSON.parse(daemon.seen.at(-1)?.body ?? '')).toMatchObject({ RestartPolicy: { Name: 'no' } });
  });

  it('waits with a condition from 1.30, so that it can be asked before the start', async () => {
    daemon.on('POST', `/containers/${id}/wait`, json(200, { StatusCode: 75 }));
    const engine = await connect();
    const { exit } = await engine.awaitExit(id, new AbortController().signal);
    expect(await exit).toEqual({ status: 75 });
    expect(daemon.seen.at(-1)?.url).toContain('condition=next-exit');
  });

  it('waits without one below', async () => {
    daemon.on('GET', '/version', json(200, { ApiVersion: '1.22' }));
    daemon.on('POST', `/containers/${id}/wait`, json(200, { StatusCode: 0 }));
    const engine = await connect();
    const { exit } = await engine.awaitExit(id, new AbortController().signal);
    expect(await exit).toEqual({ status: 0 });
    expect(daemon.seen.at(-1)?.url).not.toContain('condition');
  });

  it.each([
    ['cut', cutInTheBody],
    ['garbage', text(200, 'oops')],
    ['no status', json(200, {})],
  ])('a wait that ends in nothing useful (%s) says that the container is gone', async (_, answer) => {
    daemon.on('POST', `/containers/${id}/wait`, answer);
    const engine = await connect();
    const { exit } = await engine.awaitExit(id, new AbortController().signal);
    expect(await exit).toBe('gone');
  });
});

describe('pulling', () => {
  const pull = async (auth?: RegistryAuth): Promise<string[]> => {
    const told: string[] = [];
    const engine = await connect();
    await engine.pullImage('mirror.example:5000/rancher/agent:v2', {
      onProgress: (line) => told.push(line),
      auth,
      totalMs: 10_000,
    });
    return told;
  };

  it('asks for one tag, by repository and tag', async () => {
    daemon.on('POST', '/images/create', text(200, '{"status":"done"}\n'));
    expect(await pull()).toEqual(['done']);
    const query = new URLSearchParams(daemon.seen.at(-1)?.url.split('?')[1]);
    expect(Object.fromEntries(query)).toEqual({ fromImage: 'mirror.example:5000/rancher/agent', tag: 'v2' });
  });

  it('brings the credentials for the registry in a header, and none where there are none', async () => {
    daemon.on('POST', '/images/create', text(200, '{"status":"done"}\n'));
    const auth = { username: 'ops', password: 'ÿ>>>?open sesame', serveraddress: 'mirror.example:5000' };
    await pull(auth);
    const header = String(daemon.seen.at(-1)?.headers['x-registry-auth']);
    expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual(auth);
    expect(daemon.seen.at(-1)?.url).not.toContain('sesame');
    await pull();
    expect(daemon.seen.at(-1)?.headers).not.toHaveProperty('x-registry-auth');
  });

  it('an error line after 200 is a failure', async () => {
    daemon.on('POST', '/images/create', text(200, '{"status":"Pulling"}\n{"error":"manifest unknown"}\n'));
    await expect(pull()).rejects.toMatchObject({ originalMessage: 'manifest unknown' });
  });

  it('a pull that falls silent is given up', async () => {
    daemon.on('POST', '/images/create', (response) => {
      response.writeHead(200).write('{"status":"Pulling"}\n');
    });
    await expect(pull()).rejects.toThrow(/no answer within/);
  });

  it('a pull whose connection is cut is a failure', async () => {
    daemon.on('POST', '/images/create', (response) => {
      response.writeHead(200).write('{"status":"Pulling"}\n');
      setTimeout(() => response.destroy(), 20);
    });
    await expect(pull()).rejects.toThrow();
  });
});

describe('a log', () => {
  it('is copied without the engine’s framing, to its end', async () => {
    const frame = (words: string): Buffer => {
      const header = Buffer.alloc(8);
      header[0] = 1;
      header.writeUInt32BE(words.length, 4);
      return Buffer.concat([header, Buffer.from(words)]);
    };
    daemon.on('GET', `/containers/${id}/logs`, (response) => {
      const bytes = Buffer.concat([frame('INFO: one\n'), frame('INFO: two\n')]);
      response.writeHead(200).write(bytes.subarray(0, 13));
      setTimeout(() => response.end(bytes.subarray(13)), 20);
    });
    const engine = await connect();
    const copied: string[] = [];
    await engine.followLog(id, (chunk) => copied.push(chunk.toString()), new AbortController().signal);
    expect(copied.join('')).toBe('INFO: one\nINFO: two\n');
  });

  it('of a container that is gone is an error', async () => {
    const engine = await connect();
    const following = engine.followLog(id, () => undefined, new AbortController().signal);
    await expect(following).rejects.toSatisfy((error) => isEngineError(error, 'not-found'));
  });
});

describe('images', () => {
  it.each([
    'rancher/agent:v1.2.11',
    'mirror.example:5000/rancher/agent:v1',
    'rancher/agent@sha256:0123',
    'sha256:0123',
  ])('%s is asked for by a path the engine understands', async (reference) => {
    daemon.on(
      'GET',
      `/images/${reference.split('/').map(encodeURIComponent).join('/')}/json`,
      json(200, { Id: 'sha256:1', Config: null }),
    );
    const engine = await connect();
    expect(await engine.inspectImage(reference)).toMatchObject({ id: 'sha256:1', labels: {} });
  });
});
