import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../../src/engine/engine.ts';
import { FakeDaemon, engineOfToday } from '../fakes/fake-daemon.ts';

const id = 'e'.repeat(64);
const forEver = new AbortController().signal;

let daemon: FakeDaemon;
let engine: Engine;

beforeEach(async () => {
  daemon = await FakeDaemon.start(engineOfToday);
  engine = await daemon.connect();
});
afterEach(async () => daemon.stop());

describe('new names of a container', () => {
  it('are told, one call each, until the engine ends the stream', async () => {
    daemon.on('GET', '/events', (response) => {
      response.writeHead(200).write('{"status":"rename","id":"one"}\n');
      setTimeout(() => response.end('{"status":"rename","id":"two"}\n'), 50);
    });
    let told = 0;
    await engine.followRenames(id, () => (told += 1), forEver);
    expect(told).toBe(2);
    const asked = new URL(`http://engine${daemon.seen.at(-1)?.url ?? ''}`).searchParams.get('filters');
    expect(JSON.parse(asked ?? '')).toEqual({ container: [id], event: ['rename'] });
  });

  it('whose stream is cut off, as by a daemon that is killed, are an error and no wait for ever', async () => {
    daemon.on('GET', '/events', (response) => {
      response.writeHead(200).write('{"status":"rename","id":"one"}\n');
      setTimeout(() => response.destroy(), 20);
    });
    await expect(engine.followRenames(id, () => undefined, forEver)).rejects.toThrow();
  });

  it('are not listened to any longer than somebody wants to', async () => {
    daemon.on('GET', '/events', (response) => {
      response.writeHead(200).flushHeaders();
    });
    const over = new AbortController();
    const following = engine.followRenames(id, () => undefined, over.signal);
    setTimeout(() => over.abort(new Error('enough')), 50);
    await expect(following).rejects.toThrow();
  });
});
