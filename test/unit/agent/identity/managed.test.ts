import { describe, expect, it } from 'vitest';
import {
  claimsToBeManaged,
  hasEngineSocket,
  isManaged,
  isManagedRestarter,
} from '../../../../src/agent/identity/managed.ts';
import { labels } from '../../../../src/agent/identity/roles.ts';

const socket = '/var/run/docker.sock:/var/run/docker.sock';

const agent = {
  labels: { [labels.role]: 'agent' },
  image: 'registry.example/agent:1',
  binds: [socket, 'rancher-agent-state:/var/lib/cattle'],
  privileged: true,
};
const legacy = { ...agent, labels: {}, image: 'rancher/agent:v1.0.2' };
const upstreamLabel = { ...agent, labels: { [labels.system]: 'rancher-agent' } };
const pasturestack = { ...legacy, image: 'ghcr.io/pasturestack/node-agent:1.6.300' };

describe('a managed container', () => {
  it.each([
    ['our label', agent],
    ['an image of the legacy agent', legacy],
    ['the label of upstream’s images', upstreamLabel],
    ['an image of PastureStack', pasturestack],
    [
      'a socket elsewhere (HOST_DOCKER_SOCK)',
      { ...legacy, binds: ['/data/docker.sock:/var/run/docker.sock'] },
    ],
  ])('is privileged, has the socket, and %s', (_title, container) => {
    expect(isManaged(container)).toBe(true);
  });

  it.each([
    ['nothing but name, label and image', { privileged: false, binds: [] }],
    ['no privileges', { privileged: false }],
    ['no socket', { binds: [] }],
    ['a volume in the place of the socket', { binds: ['docker.sock:/var/run/docker.sock'] }],
    ['a volume that is named like a folder', { binds: ['var/run/docker.sock:/var/run/docker.sock'] }],
    ['another folder of the host', { binds: ['/var/run/docker:/data', '/home:/home'] }],
    ['neither our label nor an agent’s image', { labels: {}, image: 'portainer/portainer' }],
  ])('is none with %s', (_title, parts) => {
    expect(isManaged({ ...agent, ...parts })).toBe(false);
    if (!('labels' in parts)) expect(isManaged({ ...legacy, ...parts })).toBe(false);
  });
});

describe('the agent restarter', () => {
  const restarter = { ...agent, labels: { [labels.role]: 'agent-restarter' }, privileged: false };

  it('needs the socket and no privileges', () => {
    expect(isManagedRestarter(restarter)).toBe(true);
    expect(isManagedRestarter({ ...restarter, privileged: true })).toBe(true);
  });

  it.each([
    ['without the socket', { binds: [] }],
    ['with a volume for a socket', { binds: ['v:/var/run/docker.sock'] }],
    ['with the label of another role', { labels: { [labels.role]: 'worker' } }],
    ['with nothing but an agent’s image', { labels: {}, image: 'rancher/agent:evil' }],
  ])('is none %s', (_title, parts) => {
    expect(isManagedRestarter({ ...restarter, ...parts })).toBe(false);
  });
});

it.each([
  [socket, true],
  ['/run/docker.sock:/run/docker.sock:ro', true],
  ['/var/run:/var/run', true],
  ['/var/run/:/host/run', true],
  ['/run:/host/run', true],
  ['/:/host', true],
  ['//var//run/./docker.sock:/s', true],
  ['/run/other.sock:/var/run/docker.sock', true],
  ['/run/other.sock:/var/run//docker.sock', true],
  ['/var/run/docker.sock.bak:/x', false],
  ['/var/running:/x', false],
  ['/var/run/docker:/x', false],
  ['docker.sock:/var/run/docker.sock', false],
  ['', false],
])('the bind mount %j shows the socket: %s', (bind, expected) => {
  expect(hasEngineSocket([bind])).toBe(expected);
  expect(hasEngineSocket(['a:/b', bind])).toBe(expected);
});

it('a label or an image alone is a claim, and no more', () => {
  expect(claimsToBeManaged({ labels: { [labels.role]: '' }, image: 'alpine' })).toBe(true);
  expect(claimsToBeManaged({ labels: {}, image: 'rancher/agent:evil' })).toBe(true);
  expect(claimsToBeManaged({ labels: {}, image: 'alpine' })).toBe(false);
});
