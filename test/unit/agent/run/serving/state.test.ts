import { describe, expect, it } from 'vitest';
import { revokedCause } from '../../../../../src/agent/run/bootstrap/bootstrap-loop.ts';
import { endsWithServing, isFailing } from '../../../../../src/agent/run/serving/causes.ts';
import {
  isUnfinishedUpgrade,
  stateFor,
  type ServingView,
} from '../../../../../src/agent/run/serving/state.ts';
import type { StateCause } from '../../../../../src/support/causes.ts';
import type { HostStatus } from '../../../../../src/host/files/status.ts';

const at = '2026-01-01T00:00:00.000Z';

function status(parts: Partial<HostStatus>): HostStatus {
  return {
    version: 2,
    state: 'ok',
    summary: 'rancher-agent runs',
    since: at,
    updatedAt: at,
    command: 'upgrade',
    entrypointVersion: '1',
    ...parts,
  };
}

function view(parts: Partial<ServingView>): ServingView {
  return {
    decision: { serving: 'yes' },
    server: 'https://rancher.example',
    image: 'rancher/agent:b',
    trouble: undefined,
    over: undefined,
    ...parts,
  };
}

function no(cause: StateCause): ServingView {
  return view({ decision: { serving: 'no', reason: { cause, message: `because of ${cause}` } } });
}

const unknown = (cause: StateCause): ServingView =>
  view({ decision: { serving: 'unknown', reason: { cause, message: 'nobody looks' } } });
const failedUpgrade = status({ state: 'failed', cause: 'cannot-change', exitCode: 73 });
const away = status({ state: 'degraded', cause: 'server-unreachable', command: 'run', until: 'serving' });

function told(before: HostStatus | undefined, given: ServingView): unknown {
  const step = stateFor(before, given);
  return step.do === 'say' ? [step.outcome.state, step.outcome.cause] : step.do;
}

describe('what the agent observes becomes the state of the host', () => {
  it.each<[string, HostStatus | undefined, ServingView, unknown]>([
    [
      'the result of the upgrade before, while this image runs',
      status({ target: 'rancher/agent:a' }),
      view({}),
      ['ok', undefined],
    ],
    ['the result of the upgrade to this image', status({ target: 'rancher/agent:b' }), view({}), 'refresh'],
    ['a server that is away', status({}), no('server-unreachable'), ['degraded', 'server-unreachable']],
    [
      'the same on a host without a state',
      undefined,
      no('server-unreachable'),
      ['degraded', 'server-unreachable'],
    ],
    [
      'an upgrade that waits is less urgent',
      status({ state: 'deferred' }),
      no('bootstrap-fails'),
      ['degraded', 'bootstrap-fails'],
    ],
    ['another cause than before', away, no('bootstrap-fails'), ['degraded', 'bootstrap-fails']],
    ['revoked keys', away, no('keys-revoked'), ['failed', 'keys-revoked']],
    ['an agent that serves again', away, view({}), ['ok', undefined]],
    [
      "a worker's verdict on a first registration",
      status({ state: 'degraded', cause: 'ready-server-dns' }),
      view({}),
      ['ok', undefined],
    ],
    [
      'keys that the server knows again',
      status({ state: 'failed', cause: 'keys-revoked' }),
      view({}),
      ['ok', undefined],
    ],
    ['nobody observes', status({}), unknown('serving-unknown'), ['degraded', 'serving-unknown']],
    [
      'its bootstrap holds no connection',
      status({}),
      unknown('agent-not-connected'),
      ['degraded', 'agent-not-connected'],
    ],
    [
      'its bootstrap holds no connection, and an upgrade waits',
      status({ state: 'deferred' }),
      unknown('agent-not-connected'),
      ['degraded', 'agent-not-connected'],
    ],
    [
      'it has connected',
      status({ state: 'degraded', cause: 'agent-not-connected' }),
      view({}),
      ['ok', undefined],
    ],
    [
      'a dead socket, although it serves',
      status({}),
      view({ trouble: { cause: 'socket-dead', message: '' } }),
      ['degraded', 'socket-dead'],
    ],
  ])('%s', (_title, before, given, expected) => {
    expect(told(before, given)).toEqual(expected);
  });

  it.each<[string, HostStatus | undefined, ServingView]>([
    ['it says so already', away, no('server-unreachable')],
    ['all is well', status({}), view({})],
    ['a failed upgrade is more urgent', failedUpgrade, no('server-unreachable')],
    ['a failed upgrade stays while the agent serves', failedUpgrade, view({})],
    [
      'a failed readiness check is a failed upgrade',
      status({ state: 'failed', cause: 'ready-server-dns' }),
      view({}),
    ],
    ['an unremovable container stays', status({ state: 'degraded', cause: 'cannot-remove' }), view({})],
    ['an upgrade waits while the agent serves', status({ state: 'deferred' }), view({})],
    ['it is too early to tell', away, unknown('starting')],
    ['an upgrade waits, and nobody observes', status({ state: 'deferred' }), unknown('serving-unknown')],
  ])('nothing but the part about serving changes when %s', (_title, before, given) => {
    expect(told(before, given)).toBe('refresh');
  });

  it('a worker at work is never interrupted', () => {
    const working = status({ state: 'working' });
    for (const given of [view({}), no('server-unreachable'), unknown('serving-unknown')]) {
      expect(told(working, given)).toBe('nothing');
    }
  });
});

describe('a failed upgrade whose reason is gone', () => {
  const over = { status: failedUpgrade, summary: 'the server requires the image that runs' };

  it('goes away when the agent serves, and says why', () => {
    const step = stateFor(failedUpgrade, view({ over }));
    expect(step).toMatchObject({ do: 'say', outcome: { state: 'ok', summary: over.summary } });
  });

  it.each<[string, HostStatus, ServingView]>([
    ['the agent does not serve', failedUpgrade, { ...no('server-unreachable'), over }],
    ['it has just started', failedUpgrade, { ...unknown('starting'), over }],
    [
      'another upgrade has failed since',
      { ...failedUpgrade, updatedAt: '2026-01-01T00:00:01.000Z' },
      view({ over }),
    ],
  ])('stays when %s', (_title, before, given) => {
    expect(told(before, given)).toBe('refresh');
  });

  it.each<[boolean, Partial<HostStatus>]>([
    [true, { state: 'failed' }],
    [true, { state: 'failed', command: 'reconcile' }],
    [true, { state: 'failed', command: 'run', cause: 'storage-low' }],
    [true, { state: 'deferred' }],
    [false, { state: 'failed', command: 'register' }],
    [false, { state: 'failed', command: 'run', cause: 'no-bash' }],
    [false, { state: 'degraded', cause: 'cannot-remove' }],
    [false, {}],
  ])('is %s for %j', (expected, parts) => {
    expect(isUnfinishedUpgrade(status(parts))).toBe(expected);
  });
});

it('the causes of the bootstrap loop are those that the agent takes back', () => {
  expect(isFailing(revokedCause)).toBe(true);
  for (const cause of [revokedCause, 'no-bash', 'no-room-for-bootstrap']) {
    expect(endsWithServing(status({ state: 'failed', cause }))).toBe(true);
  }
});
