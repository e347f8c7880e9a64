import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectEngine } from '../../../src/engine/docker-engine.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { FakeDaemon, json, silence, text } from '../fakes/fake-daemon.ts';

/** A container about which the engine gives no answer, as a tenant can bring about (`engine/trust/tenant-silence`). */
const id = 'e'.repeat(64);
const labels = { 'io.rancher.agent-entrypoint.role': 'worker' };
const limits = { ...defaultLimits, INSPECT: 200, LIST_ONE: 200, CALL_PAUSE: 10 };

let daemon: FakeDaemon;
let engine: Engine;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
  daemon.on('GET', '/version', json(200, { Version: '20.10.24', ApiVersion: '1.41' }));
  const { socketPath } = daemon;
  engine = await connectEngine({
    socketPath,
    apiVersion: undefined,
    userAgent: 'test',
    limits,
    log: silentLog,
  });
});
afterEach(async () => daemon.stop());

function listed(NetworkMode: string): object {
  const names = { Id: id, Names: ['/rancher-agent-worker'], Image: 'evil', Labels: labels, State: 'running' };
  return { ...names, Command: '/run.sh run', HostConfig: { NetworkMode } };
}

const tooLarge = json(200, { Id: id, State: {}, Config: { Labels: { big: 'y'.repeat(70 * 2 ** 20) } } });

describe.each([
  ['no answer', silence],
  ['an answer of 70 MB', tooLarge],
])('a container with %s to an inspection', (_what, answer) => {
  it.each(['default', 'none', 'container:x', 'some-network'])(
    'and the network %s is what the list shows, and never looks managed',
    async (network) => {
      daemon.on('GET', '/containers/json', json(200, [listed(network)]));
      for (const asked of ['rancher-agent-worker', id]) {
        daemon.on('GET', `/containers/${asked}/json`, answer);
        const found = await engine.inspectContainer(asked);
        expect(found).toMatchObject({ id, name: 'rancher-agent-worker', image: 'evil', state: 'running' });
        expect(found).toMatchObject({ labels: {}, environment: {}, binds: [], privileged: false });
      }
      // One try, and none for a while: the second question was by the id that the first one found.
      expect(daemon.countOf('GET', '/containers/rancher-agent-worker/json')).toBe(1);
      expect(daemon.countOf('GET', `/containers/${id}/json`)).toBe(0);
    },
  );

  it('and the host’s network may be managed: an error, as before', { timeout: 30_000 }, async () => {
    daemon.on('GET', '/containers/json', json(200, [listed('host')]));
    daemon.on('GET', `/containers/${id}/json`, answer);
    await expect(engine.inspectContainer(id)).rejects.toThrow(/no answer within|longer than/);
  });
});

it('a container that is gone meanwhile is gone, and one that answers again is inspected', async () => {
  daemon.on('GET', '/containers/json', json(200, [listed('default')]), json(200, []));
  daemon.on('GET', `/containers/${id}/json`, silence, text(404, 'no such container'));
  expect(await engine.inspectContainer(id)).toMatchObject({ id });
  expect(await engine.inspectContainer(id)).toBeUndefined();
});

it('an engine that refuses or is away is not asked for a list', async () => {
  daemon.on('GET', `/containers/${id}/json`, text(500, 'oops'));
  await expect(engine.inspectContainer(id)).rejects.toThrow('oops');
  expect(daemon.countOf('GET', '/containers/json')).toBe(0);
});
