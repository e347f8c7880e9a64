import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../../src/engine/engine.ts';
import { createRemover, listLeaks } from '../../../src/cleanup/remove.ts';
import { sweepLeaks, type SweepResult } from '../../../src/cleanup/sweep.ts';
import { systemClock } from '../../../src/support/clock.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { empty, FakeDaemon, engineOfTheIncident, json, text, type Answer } from '../fakes/fake-daemon.ts';
import { names } from '../fakes/role-names.ts';

/*
 * The engine of the incident, 1.10.3, answering as engine-notes §2 records it: no `State` in lists, filters ignored, an
 * image whose tag has moved shown by its id, a dead container listed and not to be inspected, errors in plain text.
 */

const createdAt = Date.parse('2016-07-01T12:00:00Z') / 1000;

interface Parts {
  readonly Image?: string;
  readonly Command?: string;
  readonly Status?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
}

let daemon: FakeDaemon;
let listed: object[];

beforeEach(async () => {
  daemon = await FakeDaemon.start(engineOfTheIncident);
  listed = [];
});

afterEach(async () => {
  await daemon.stop();
});

/** One more in the list, with the engine's answers to an inspection and to a removal. */
function container(digit: string, parts: Parts, inspection: Answer, removal: Answer = empty(204)): string {
  const id = digit.repeat(64);
  listed.push({
    Id: id,
    Names: ['/angry_darwin'],
    Image: 'rancher/agent:v1.0.2',
    ImageID: 'sha256:1',
    Command: '/run.sh inspect-host',
    Created: createdAt,
    Labels: null,
    Status: 'Exited (0) 6 days ago',
    ...parts,
  });
  daemon.on('GET', `/containers/${id}/json`, inspection);
  daemon.on('DELETE', `/containers/${id}`, removal);
  return id;
}

function inspection(digit: string, image: string, state: object = {}): Answer {
  return json(200, {
    Id: digit.repeat(64),
    Created: '2016-07-01T12:00:00.1Z',
    Path: '/run.sh',
    Args: ['inspect-host'],
    State: {
      Status: 'exited',
      Running: false,
      Dead: false,
      ExitCode: 0,
      FinishedAt: '2016-07-01T12:00:01Z',
      ...state,
    },
    Image: 'sha256:1',
    Name: '/angry_darwin',
    HostConfig: { Binds: ['/run:/run'], RestartPolicy: { Name: 'no', MaximumRetryCount: 0 } },
    Config: { Image: image, Env: null, Labels: null },
  });
}

async function connect(): Promise<Engine> {
  daemon.on('GET', '/containers/json', json(200, listed));
  return daemon.connect();
}

async function sweep(): Promise<SweepResult> {
  return sweepLeaks({
    engine: await connect(),
    names,
    limits: defaultLimits,
    clock: systemClock,
    log: silentLog,
    signal: new AbortController().signal,
  });
}

function removed(): readonly string[] {
  return daemon.seen.filter(({ method }) => method === 'DELETE').map(({ url }) => url.slice(12, 13));
}

const upstream = 'rancher/agent:v1.0.2';

describe('the engine of the incident (1.10.3)', () => {
  it('lists every container whatever is asked for: a sweep touches only those that nothing uses any more', async () => {
    container(
      'a',
      { Status: 'Up 3 minutes' },
      inspection('a', upstream, { Status: 'running', Running: true }),
    );
    container('b', { Status: 'Up 1 hour (Paused)' }, inspection('b', upstream, { Status: 'paused' }));
    container('c', { Command: '/run.sh run' }, inspection('c', upstream));
    container('d', {}, inspection('d', upstream));
    container('e', { Status: 'Created' }, inspection('e', upstream, { Status: 'created' }));
    expect(await sweep()).toMatchObject({ found: 2, removed: 2 });
    expect(removed()).toEqual(['e', 'd']);
    // `status=removing` would be a 500 there.
    const list = daemon.seen.find(({ url }) => url.includes('/containers/json'));
    expect(decodeURIComponent(list?.url ?? '')).not.toContain('removing');
  });

  it('ignores the filter: the list is filtered again', async () => {
    container('a', { Status: 'Up 3 minutes' }, empty(500));
    const exited = container('b', {}, empty(500));
    const found = await (await connect()).listContainers({ states: ['exited'] });
    expect(found.map(({ id }) => id)).toEqual([exited]);
  });

  it('shows an image whose tag has moved by its id: the name that was given decides', async () => {
    const Image = `sha256:${'7'.repeat(64)}`;
    container('a', { Image }, inspection('a', upstream));
    container('b', { Image: '7'.repeat(12) }, inspection('b', 'somebody/tool:1'));
    expect(await sweep()).toMatchObject({ found: 2, removed: 1, left: 0 });
    expect(removed()).toEqual(['a']);
  });

  it('cannot inspect a dead one: it is removed as soon as the fault is gone, and those that vanished are kept', async () => {
    const notFound = text(404, 'no such container\n');
    const sick = text(500, 'Driver overlay failed to remove root filesystem: device or resource busy\n');
    container('a', { Status: 'Dead' }, notFound, sick);
    container('b', { Status: 'Dead' }, notFound);
    container('c', {}, notFound);
    expect(await sweep()).toMatchObject({ found: 3, removed: 1, failed: 1, left: 1 });
    expect(removed()).toEqual(['b', 'a']);
    expect(daemon.seen.some(({ url }) => url.includes('force'))).toBe(false);
  });
});

it('a removal during which 1.10.3 restarted leaves a dead container that it lists and cannot inspect: it is tried again', async () => {
  const id = container('a', {}, text(404, 'no such container\n'));
  const engine = await connect();
  const [suspect] = await listLeaks(engine, names);
  if (suspect === undefined) throw new Error('none was found');
  const remove = createRemover({ engine, names, limits: { SWEEP_AGE: 0 }, clock: systemClock });
  expect(await remove(suspect)).toEqual({ kind: 'kept', reason: 'gone' });
  daemon.on('GET', '/containers/json', json(200, [{ ...listed[0], Status: 'Dead' }]));
  expect(await remove(suspect)).toEqual({ kind: 'removed' });
  expect(removed()).toEqual(['a']);
  const asked = daemon.seen.findLast(({ url }) => url.includes('/containers/json'))?.url ?? '';
  expect(decodeURIComponent(asked)).toContain(`{"id":["${id}"]}`);
});

it('an engine of today is asked for containers that do not run, dead ones that it lists as `removing` included', async () => {
  daemon.on('GET', '/version', json(200, { Version: '20.10.24', ApiVersion: '1.41' }));
  await sweep();
  const { searchParams } = new URL(daemon.seen.at(-1)?.url ?? '', 'http://engine');
  expect(JSON.parse(searchParams.get('filters') ?? '')).toEqual({
    status: ['exited', 'created', 'dead', 'removing'],
  });
});
