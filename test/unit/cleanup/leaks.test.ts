import { describe, expect, it } from 'vitest';
import { selectProfile } from '../../../src/agent/identity/profile.ts';
import { labels, namesOf } from '../../../src/agent/identity/roles.ts';
import type { ContainerState } from '../../../src/engine/engine.ts';
import {
  classifyDead,
  classifyDeadHelper,
  classifyHelper,
  dependsOnImage,
  findDead,
  findLeaks,
  isOldEnough,
} from '../../../src/cleanup/leaks.ts';
import { findGateway, inspectHost, leakedDetails, leakedSummary, now, shareMnt } from '../fakes/leaked.ts';
import { names } from '../fakes/role-names.ts';
const rules = { names, now, age: 600_000 };
const leak = (kind: string) => ({ class: 'leaked-helper', kind });
const kept = (reason: string) => ({ class: 'not-a-leak', reason });

describe('a leaked helper', () => {
  it.each([
    ['of the incident: /run.sh inspect-host', {}, 'inspect-host'],
    ['that shared mounts', { command: shareMnt }, 'share-mnt'],
    ['that looked for the gateway', { command: findGateway }, 'find-gateway'],
    [
      'that was never started',
      { state: 'created', startedAt: undefined, finishedAt: undefined },
      'inspect-host',
    ],
    ['whose removal has failed before', { state: 'dead' }, 'inspect-host'],
    [
      'from a registry mirror',
      { image: 'mirror.corp:5000/rancher/agent:v1.2.11', labels: {} },
      'inspect-host',
    ],
    ['of an image without the label of today (before May 2015)', { labels: {} }, 'inspect-host'],
    ['of an image that was renamed', { image: 'corp/host-agent:7' }, 'inspect-host'],
    ['of PastureStack', { image: 'ghcr.io/pasturestack/node-agent:v1.2.31', labels: {} }, 'inspect-host'],
    ['whose name had been taken, as among thousands', { name: 'angry_darwin4' }, 'inspect-host'],
    ['named by its id, as among thousands', { name: '0123456789ab' }, 'inspect-host'],
    ['that lost its name when it died', { name: '', state: 'dead' }, 'inspect-host'],
    ['on an engine that does not tell the restart policy', { restartPolicy: '' }, 'inspect-host'],
  ] as const)('cleanup recognizes a leaked helper %s', (_, parts, kind) => {
    expect(classifyHelper(leakedDetails(parts), rules)).toEqual(leak(kind));
  });
});

it('a leaked helper has the labels of its image, whatever those are', () => {
  const given = { [labels.system]: 'rancher-agent', maintainer: 'somebody' };
  const container = leakedDetails({ labels: given });
  expect(dependsOnImage(container)).toBe(true);
  expect(classifyHelper(container, { ...rules, imageLabels: given })).toEqual(leak('inspect-host'));
  expect(classifyHelper(container, rules)).toEqual(kept('was given a label'));
});

it('a leaked helper of the incident is classified without inspecting its image', () => {
  expect(dependsOnImage(leakedDetails())).toBe(false);
});

describe('a container that is no leak', () => {
  it.each([
    ['the agent itself', { command: ['/run.sh', 'run'] }, 'another command'],
    ['an upgrade', { command: ['/run.sh', 'upgrade'] }, 'another command'],
    ['the state container of v1.0', { command: ['/run.sh', 'state'] }, 'another command'],
    ['one argument more', { command: [...inspectHost, '--debug'] }, 'another command'],
    ['another entrypoint', { command: ['/bin/sh', 'inspect-host'] }, 'another command'],
    ['the entrypoint alone', { command: ['/run.sh'] }, 'another command'],
    ['another route', { command: findGateway.with(-1, '1.1.1.1') }, 'another command'],
    ['one argument more about the route', { command: [...findGateway, 'from'] }, 'another command'],
    ['a route in one argument', { command: ['/run.sh', '--', 'ip route get 8.8.8.8'] }, 'another command'],
    ['the command in one argument', { command: ['/run.sh inspect-host'] }, 'another command'],
    ["somebody's command below the entrypoint", { command: ['/run.sh', '--', 'bash'] }, 'another command'],
    [
      'a kubelet that shares mounts first',
      { command: shareMnt.slice(0, -1).concat('kubelet') },
      'another command',
    ],
    ['another argument in front', { command: shareMnt.with(1, 'run') }, 'another command'],
    ['share-mnt of somebody else', { command: shareMnt.slice(2) }, 'another command'],
    ['another program of that name', { command: shareMnt.with(2, '/opt/share-mnt') }, 'another command'],
    ['another image', { image: 'library/agent:v1', labels: {} }, 'another image'],
    ['an image whose name only ends alike', { image: 'notrancher/agent:v1', labels: {} }, 'another image'],
    [
      'an image that is a bare id and has no label',
      { image: `sha256:${'a'.repeat(64)}`, labels: {} },
      'another image',
    ],
    [
      "another of Rancher's system containers",
      { image: 'x', labels: { [labels.system]: 'NetworkAgent' } },
      'another image',
    ],
    [
      'one that this entrypoint has created',
      { labels: { [labels.role]: 'worker' } },
      'created by this entrypoint',
    ],
    ['one with a managed name', { name: 'rancher-agent-upgrade' }, 'has a managed name'],
    ['a parked agent', { name: 'rancher-agent-previous-2' }, 'has a managed name'],
    ['one that somebody gave a name', { name: 'inspect-by-hand' }, 'was given a name'],
    ['one of compose', { name: 'shop_inspect_1' }, 'was given a name'],
    [
      'one of an agent image that was given the label of another system container',
      { labels: { [labels.system]: 'NetworkAgent' } },
      'was given a label',
    ],
    [
      'one that somebody gave a label',
      { labels: { [labels.system]: 'rancher-agent', 'com.example.keep': 'yes' } },
      'was given a label',
    ],
    ['one that restarts', { restartPolicy: 'always' }, 'has a restart policy'],
    ['one that restarts when it fails', { restartPolicy: 'on-failure' }, 'has a restart policy'],
    ['one that runs', { state: 'running' }, 'has not exited'],
    ['one that the engine is about to restart', { state: 'restarting' }, 'has not exited'],
    ['a paused one', { state: 'paused' }, 'has not exited'],
    ['one that somebody is removing right now', { state: 'removing' }, 'has not exited'],
    [
      'one just created: a legacy upgrade is about to start it',
      { createdAt: now - 599_999 },
      'may still be in use',
    ],
    [
      'one that has just exited: a legacy upgrade is about to read it',
      { finishedAt: now - 599_999 },
      'may still be in use',
    ],
    [
      'one created in the future: the clock was wrong',
      { createdAt: now + 86_400_000 },
      'may still be in use',
    ],
    ['one whose age is unknown', { createdAt: undefined }, 'may still be in use'],
  ] as const)('cleanup keeps %s', (_, parts, reason) => {
    expect(classifyHelper(leakedDetails(parts), rules)).toEqual(kept(reason));
  });

  it.each([
    ['a label of its own beside those of the image', { keep: 'yes' }],
    ['the value of a label of the image changed', { version: '2' }],
  ])('cleanup keeps a container with %s', (_, own) => {
    const container = leakedDetails({ labels: { [labels.system]: 'rancher-agent', version: '1', ...own } });
    const imageLabels = { [labels.system]: 'rancher-agent', version: '1' };
    expect(classifyHelper(container, { ...rules, imageLabels })).toEqual(kept('was given a label'));
  });

  it('cleanup keeps a container of another image that was given the label of agent images', () => {
    const container = leakedDetails({ image: 'corp/tool:1' });
    expect(dependsOnImage(container)).toBe(true);
    expect(classifyHelper(container, { ...rules, imageLabels: {} })).toEqual(kept('was given a label'));
  });

  it('one with a name that the environment has made a managed one, even if it looks generated', () => {
    const managed = namesOf(
      selectProfile('pasturestack', { PASTURESTACK_AGENT_UPGRADE_CONTAINER_NAME: 'angry_darwin' }),
    );
    const classification = classifyHelper(leakedDetails({ name: 'angry_darwin' }), {
      ...rules,
      names: managed,
    });
    expect(classification).toEqual(kept('has a managed name'));
  });
});

describe('a dead helper that the engine lists and cannot inspect', () => {
  it('is a leaked helper if the whole list entry agrees', () => {
    const [suspect] = findLeaks([leakedSummary({ state: 'dead' })], names);
    expect(suspect && classifyDeadHelper(suspect, rules)).toEqual(leak('inspect-host'));
  });

  it.each([
    ['is gone, if it was not dead', { state: 'exited' }, 'gone'],
    [
      'stays, if the list knows its image by id alone',
      { image: 'a'.repeat(64), labels: {} },
      'another image',
    ],
    ['stays, if it is young', { createdAt: now - 599_999 }, 'may still be in use'],
  ] as const)('a dead container that cannot be inspected %s', (_, parts, reason) => {
    const [suspect] = findLeaks([leakedSummary({ state: 'dead', ...parts })], names);
    expect(suspect && classifyDeadHelper(suspect, rules)).toEqual(kept(reason));
  });
});

describe('the suspects in a list', () => {
  const idsOf = (list: Parameters<typeof findLeaks>[0]): readonly string[] =>
    findLeaks(list, names).map(({ container }) => container.id);

  it('come oldest first, those of one second in the order of their creation, the dead ones last', () => {
    const at = (id: string, createdAt: number, state: ContainerState = 'exited') =>
      leakedSummary({ id, name: '', createdAt, state });
    // Newest first, as every engine lists; `Created` has seconds only.
    const listed = [at('f', 9_000), at('e', 5_000), at('d', 5_000), at('c', 5_000, 'removing')];
    expect(idsOf([...listed, at('b', 2_000), at('a', 1_000, 'dead')])).toEqual([
      'b',
      'd',
      'e',
      'f',
      'a',
      'c',
    ]);
  });

  it('suspects come oldest first, even if an engine lists them in another order', () => {
    const at = (id: string, createdAt: number) => leakedSummary({ id, name: '', createdAt });
    expect(idsOf([at('b', 2_000), at('c', 3_000), at('a', 1_000)])).toEqual(['a', 'b', 'c']);
  });

  it('include those whose image the list shows by its id: the tag has moved, and an inspection decides', () => {
    expect(
      idsOf([leakedSummary({ id: 'a', name: '', image: `sha256:${'0'.repeat(64)}`, labels: {} })]),
    ).toEqual(['a']);
  });

  it.each([
    ['running', { state: 'running' }],
    ['another command', { command: '/run.sh run' }],
    ['another image', { image: 'debian:12', labels: {} }],
    ['a managed name', { name: 'rancher-agent-next' }],
    ['a given name', { name: 'by-hand' }],
    ['a label of this entrypoint', { labels: { [labels.role]: 'agent' } }],
  ] as const)('suspects leave out: %s', (_, parts) => {
    expect(idsOf([leakedSummary(parts)])).toEqual([]);
  });

  it('suspects are old enough from the exact millisecond on', () => {
    const [suspect] = findLeaks([leakedSummary({ createdAt: now - 600_000 })], names);
    expect(suspect && isOldEnough(suspect, rules)).toBe(true);
    expect(suspect && isOldEnough(suspect, { ...rules, now: now - 1 })).toBe(false);
  });
});

describe('the dead managed containers in a list', () => {
  it('are dead and have a managed name, the oldest first', () => {
    const dead = { state: 'dead' } as const;
    const listed = [
      leakedSummary({ id: 'b', name: 'rancher-agent-previous-2', createdAt: 2_000, state: 'removing' }),
      leakedSummary({ id: 'a', name: 'rancher-agent-previous', createdAt: 1_000, ...dead }),
      leakedSummary({ id: 'c', name: 'rancher-agent-next' }),
      leakedSummary({ id: 'd', name: 'rancher-agent-mine', ...dead }),
      leakedSummary({ id: 'e', ...dead }),
    ];
    expect(findDead(listed, names).map(({ container }) => container.id)).toEqual(['a', 'b']);
  });
});

describe('a dead container with a managed name', () => {
  const listed = leakedSummary({ name: 'rancher-agent-previous', state: 'dead' });

  it.each([
    ['is dead by an inspection', leakedDetails({ state: 'dead' })],
    [
      'is dead by an inspection, and an agent restarter, which needs no privileges',
      leakedDetails({ state: 'dead', privileged: false, labels: { [labels.role]: 'agent-restarter' } }),
    ],
    ['is dead by the list, where the engine cannot inspect it', undefined],
  ])('has a class of its own if it %s', (_, found) => {
    expect(classifyDead(listed, found)).toEqual({ class: 'dead' });
  });

  it.each([
    ['it runs again', leakedDetails({ state: 'running' }), 'has not exited'],
    ['it is of an unmanaged image', leakedDetails({ state: 'dead', image: 'x', labels: {} }), 'not managed'],
    ['it is a tenant’s', leakedDetails({ state: 'dead', privileged: false }), 'not managed'],
    ['it is a tenant’s without the socket', leakedDetails({ state: 'dead', binds: [] }), 'not managed'],
  ] as const)('is kept if %s', (_, found, reason) => {
    expect(classifyDead(listed, found)).toEqual(kept(reason));
  });

  it('is kept if it is gone, and the list did not show it as dead', () => {
    expect(classifyDead({ ...listed, state: 'removing' }, undefined)).toEqual(kept('gone'));
  });
});
