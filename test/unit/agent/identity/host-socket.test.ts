import { describe, expect, it } from 'vitest';
import { findHostPath, hostSocketOf } from '../../../../src/agent/identity/host-socket.ts';
import { selectProfile } from '../../../../src/agent/identity/profile.ts';
import type { ContainerMount } from '../../../../src/engine/engine.ts';

const usual = '/var/run/docker.sock';

function mount(source: string, target: string, volume?: string): ContainerMount {
  return { source, target, volume };
}

/** `/var/run` is a link in most images. */
async function resolve(path: string): Promise<string> {
  return Promise.resolve(path.replace(/^\/var\/run(?=\/|$)/, '/run'));
}

describe('where the socket of this container is on the host', () => {
  it.each([
    ['bound from the usual place', [mount(usual, usual)], usual, usual],
    ['bound from /run, which is the same place', [mount('/run/docker.sock', usual)], usual, usual],
    ['bound from elsewhere', [mount('/run/docker-alt.sock', usual)], usual, '/run/docker-alt.sock'],
    ['below a folder of the host', [mount('/var/run', '/host/run')], '/host/run/docker.sock', usual],
    ['below a folder with another name', [mount('/data', '/sock')], '/sock/a/d.sock', '/data/a/d.sock'],
    [
      'below two folders: the longest counts',
      [mount('/', '/host'), mount('/srv/d', '/host/run')],
      '/host/run/docker.sock',
      '/srv/d/docker.sock',
    ],
    ['the whole host', [mount('/', '/host')], '/host/run/d.sock', '/run/d.sock'],
    ['behind a link: the mount point has none', [mount('/run', '/run')], usual, usual],
  ])('%s', async (_case, mounts, path, expected) => {
    expect(await findHostPath({ mounts }, path, resolve)).toBe(expected);
  });

  it.each([
    ['nothing is mounted', []],
    ['another folder that begins alike', [mount('/x', '/run/docker.socket'), mount('/y', '/ru')]],
    ['a volume: its engine may be anywhere', [mount('/var/lib/docker/volumes/v/_data', '/run', 'v')]],
  ])('is unknown where %s', async (_case, mounts) => {
    expect(await findHostPath({ mounts }, usual, resolve)).toBeUndefined();
    expect(await hostSocketOf(selectProfile('rancher-1.2', {}), {}, { mounts }, usual)).toBe(usual);
  });

  it.each([
    ['rancher-1.0', '/run/said.sock', '/run/said.sock'],
    ['rancher-1.0', '', '/run/own.sock'],
    ['rancher-1.2', '/run/said.sock', '/run/own.sock'],
  ] as const)('%s: with HOST_DOCKER_SOCK=%j it is %s', async (profile, said, expected) => {
    const own = { mounts: [mount('/run/own.sock', '/sock/d')] };
    const environment = { HOST_DOCKER_SOCK: said };
    expect(await hostSocketOf(selectProfile(profile, {}), environment, own, '/sock/d')).toBe(expected);
  });
});
