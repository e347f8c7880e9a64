import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Engine } from '../../../src/engine/engine.ts';
import { silentLog } from '../../../src/support/log.ts';
import { FakeDaemon, json } from '../fakes/fake-daemon.ts';

const id = 'a'.repeat(64);
let daemon: FakeDaemon;
let warnings: string[];

beforeEach(async () => {
  warnings = [];
  daemon = await FakeDaemon.start();
  daemon.on('GET', '/version', json(200, { Version: '20.10.24', ApiVersion: '1.41', MinAPIVersion: '1.12' }));
});
afterEach(async () => daemon.stop());

async function connect(parts: { apiVersion?: string } = {}): Promise<Engine> {
  return daemon.connect({
    log: { ...silentLog, warn: (message) => void warnings.push(message) },
    ...parts,
  });
}

it('uses the version it is pinned to', async () => {
  daemon.on('GET', `/containers/${id}/json`, json(200, { Id: id, State: {}, Config: {} }));
  const engine = await connect({ apiVersion: '1.24' });
  await engine.inspectContainer(id);
  expect(daemon.seen.at(-1)?.url).toMatch(/^\/v1\.24\/containers\//);
  expect(engine.features).toMatchObject({ autoRemove: false, restartUpdate: true });
});

it('never above what the engine knows: 1.10.3 refuses newer clients', async () => {
  daemon.on('GET', '/version', json(200, { Version: '1.10.3', ApiVersion: '1.22' }));
  expect((await connect({ apiVersion: '1.41' })).version.api).toBe('1.22');
});

it.each([
  ['28.5.2+dfsg4', '1.51', '1.24', '1.22'],
  ['29.0.0', '1.52', '1.44', '1.24'],
])(
  'never below what the engine takes: Docker %s (API %s, down to %s) refuses clients of %s',
  async (Version, ApiVersion, MinAPIVersion, pinned) => {
    daemon.on('GET', '/version', json(200, { Version, ApiVersion, MinAPIVersion }));
    daemon.on('GET', `/containers/${id}/json`, json(200, { Id: id, State: {}, Config: {} }));
    const engine = await connect({ apiVersion: pinned });
    await engine.inspectContainer(id);
    expect(daemon.seen.at(-1)?.url).toContain(`/v${MinAPIVersion}/containers/`);
    expect(warnings).toEqual([expect.stringContaining(`${MinAPIVersion} is used`)]);
  },
);

it('takes an engine that doesn’t tell for the oldest', async () => {
  daemon.on('GET', '/version', json(200, {}));
  expect((await connect()).features).toEqual({
    autoRemove: false,
    deadInspection: false,
    waitConditions: false,
    restartUpdate: false,
    userNamespace: false,
    pidsLimit: false,
    equalsInSecurityOptions: false,
    cgroupNamespace: false,
  });
});
