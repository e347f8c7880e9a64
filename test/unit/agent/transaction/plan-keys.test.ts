import { describe, expect, it } from 'vitest';
import { keptForPersons, withReplaced } from '../../../../src/agent/origin/keys.ts';
import { labels } from '../../../../src/agent/identity/roles.ts';
import type { Observation, Observed } from '../../../../src/agent/transaction/observe.ts';
import {
  created,
  exited,
  looping,
  managed,
  now,
  old,
  reconcile,
  replace,
  table,
  unmanaged,
  up,
  wanted,
} from './plan-table.ts';

/** The last copy of the host's keys is never removed, and no other keys take their place. */

const keys = (key: string): Partial<Observed> => ({
  environment: { CATTLE_ACCESS_KEY: key, CATTLE_SECRET_KEY: 'secret' },
});
const ours = keys('ours');
const others = keys('others');
/** Created to replace the container with that id. */
const replacing = (id: string): Partial<Observed> => ({ labels: { [labels.replaces]: id } });

describe('a parked container with other keys than the agent', () => {
  table(reconcile, [
    [
      'does not come back for an agent that was restarted once and is young',
      { agent: { ...ours, ...up(5), restartCount: 1 }, previous: [{ ...others, ...exited }] },
      'verify agent',
    ],
    [
      'nor for one that Docker restarts again and again',
      { agent: { ...ours, ...looping }, previous: [{ ...others, ...exited }] },
      'fail agent-does-not-run agent',
    ],
    [
      'nor is it removed: somebody may need its keys',
      { agent: { ...ours }, previous: [{ ...others, ...exited, ...managed }] },
      'done',
    ],
    [
      'but if it works as an agent beside ours, it is stopped',
      { agent: { ...ours }, previous: [{ ...others }] },
      'stop previous-0',
    ],
    [
      'with the same keys it comes back',
      { agent: { ...ours, ...looping }, previous: [{ ...ours, ...exited }] },
      'demote agent',
    ],
    [
      'and is removed behind a healthy agent',
      { agent: { ...ours }, previous: [{ ...ours, ...exited, ...managed }] },
      'verify agent',
    ],
    [
      'after a registration the old agent comes back for one that was created to replace it',
      {
        agent: { ...others, ...looping, ...replacing('previous-0') },
        previous: [{ ...ours, ...exited }],
      },
      'demote agent',
    ],
    [
      'and the failed one is removed for the old one that came back',
      { agent: { ...ours, ...managed }, next: { ...others, ...exited, ...replacing('agent') } },
      'discard next',
    ],
    [
      'a next agent with other keys neither replaces a broken agent nor is removed for it',
      { agent: { ...ours, ...looping }, next: { ...others, ...up(60), ...managed } },
      'fail agent-does-not-run agent',
    ],
    [
      'without an agent, what there is takes over: an agent is better than none',
      { previous: [{ ...others, ...exited }] },
      'promote previous-0',
    ],
  ]);

  table(replace, [
    [
      'is not what an upgrade waits for',
      { agent: { ...old, ...ours }, previous: [{ ...others, ...exited, ...managed }] },
      'create-next',
    ],
    [
      'is not removed by a registration whose agent serves',
      { agent: { ...wanted, ...ours, ...managed }, previous: [{ ...others, ...exited, ...managed }] },
      'done',
    ],
    [
      'a next agent that this request created may have new keys',
      { agent: { ...old, ...ours, ...exited }, next: { ...created, ...others, ...up(5) } },
      'park agent 0',
    ],
  ]);
});

function observed(id: string, parts: Partial<Observed>): Observed {
  return {
    id,
    name: id,
    image: 'rancher/agent:v1',
    imageId: 'sha256:old',
    digest: 'old',
    state: 'running',
    startedAt: now,
    restartCount: 0,
    managed: true,
    isDead: false,
    removalStarted: false,
    canStandBy: true,
    environment: {},
    binds: [],
    ...parts,
  };
}

function observation(parts: Partial<Observation>): Observation {
  const nexts = parts.nexts ?? [parts.next];
  return { agent: undefined, legacy: [], next: undefined, previous: [], now, nexts, ...parts };
}

describe('a person learns', () => {
  const refuses = ({ environment }: Observed): boolean => environment['CATTLE_URL'] === 'http://evil/v1';

  it('which containers hold keys that are not the host’s', () => {
    const agent = observed('agent', ours);
    const parked = [
      observed('other-keys', others),
      observed('other-server', { environment: { CATTLE_URL: 'http://evil/v1' } }),
      observed('ours', ours),
      observed('somebody', { ...unmanaged, ...others }),
      observed('leaving', { ...others, removalStarted: true }),
    ];
    expect(keptForPersons(observation({ agent, previous: parked }), refuses)).toEqual([
      { name: 'other-server', why: 'keys of another server than the one that this host belongs to' },
      { name: 'other-keys', why: 'other keys than the agent' },
    ]);
  });
});

describe('an agent with new keys', () => {
  const spec = {
    image: 'x',
    command: ['run'],
    environment: { CATTLE_ACCESS_KEY: 'new' },
    labels: {},
    restart: 'always' as const,
    autoRemove: false,
    privileged: true,
    hostNetwork: true,
    hostPid: true,
    binds: [],
  };
  const id = 'a'.repeat(64);

  it('says whom it replaces: the agent, else what runs, else what could', () => {
    const agent = observed(id, ours);
    const labelOf = (parts: Partial<Observation>): string | undefined =>
      withReplaced(spec, observation(parts)).labels[labels.replaces];
    expect(labelOf({ agent, legacy: [observed('b'.repeat(64), ours)] })).toBe('aaaaaaaaaaaa');
    expect(labelOf({ legacy: [agent], previous: [observed('b'.repeat(64), { ...ours, ...exited })] })).toBe(
      'aaaaaaaaaaaa',
    );
    expect(labelOf({ previous: [observed(id, { ...ours, ...exited })] })).toBe('aaaaaaaaaaaa');
    expect(labelOf({ agent: observed(id, unmanaged) })).toBeUndefined();
  });

  it('and one with the same keys says nothing', () => {
    expect(withReplaced(spec, observation({ agent: observed(id, keys('new')) }))).toBe(spec);
  });
});
