import { beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../../../src/support/clock.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { empty, json, text, type Answer } from '../../fakes/fake-daemon.ts';
import {
  names,
  old,
  made,
  taken,
  daemon,
  stageDaemon,
  inspection,
  ask,
  changes,
  creates,
  first,
  second,
  third,
  created,
  forged,
} from './client-stage.ts';

stageDaemon();

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
