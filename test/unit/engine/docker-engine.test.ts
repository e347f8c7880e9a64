import { describe, expect, it } from 'vitest';
import { isEngineError } from '../../../src/engine/errors.ts';
import type { RegistryAuth } from '../../../src/engine/registry-auth.ts';
import { cutInTheBody, json, silence, text } from '../fakes/fake-daemon.ts';
import { daemon, deadline, limits, id, details, spec, stageDaemon, connect } from './docker-engine-stage.ts';

stageDaemon();

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
