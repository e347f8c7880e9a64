import { describe, expect, it } from 'vitest';
import { isEngineError } from '../../../src/engine/errors.ts';
import { cutAtOnce, cutInTheBody, empty, json, silence, text } from '../fakes/fake-daemon.ts';
import { daemon, deadline, limits, id, details, spec, stageDaemon, connect } from './docker-engine-stage.ts';

stageDaemon();

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
