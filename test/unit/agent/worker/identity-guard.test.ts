import { expect, it } from 'vitest';
import {
  keepIdentity,
  requireFoundIdentity,
  requireKeptKey,
  requireSameIdentity,
} from '../../../../src/agent/worker/identity-guard.ts';

const onHost = ['/proc:/host/proc', '/var/lib/rancher:/var/lib/rancher'];
const onVolume = ['/proc:/host/proc', 'rancher-agent-state:/var/lib/rancher'];

it('an agent whose identity is in a folder that became read-only is not replaced by another identity', () => {
  expect(() => requireSameIdentity({ binds: onHost }, { varLibWritable: false })).toThrow(
    'keeps its identity there',
  );
});

it.each([
  ['the folder is writable', onHost, true],
  ['the identity was on a volume all along (boot2docker)', onVolume, false],
  ['it moves from a volume to the host, as a new registration did', onVolume, true],
])('an upgrade goes on when %s', (_title, binds, varLibWritable) => {
  expect(() => requireSameIdentity({ binds }, { varLibWritable })).not.toThrow();
});

it.each([
  ['the folder of the host', { source: '/var/lib/rancher', volume: undefined }, true],
  ['a volume', { source: '/var/lib/docker/volumes/x/_data', volume: 'x' }, false],
])('an agent of v1.0 keeps it where its state container did: in %s', (_title, where, isRefused) => {
  const agent = { binds: [], mounts: [{ ...where, target: '/var/lib/rancher' }] };
  const upgrade = (): void => {
    requireSameIdentity(agent, { varLibWritable: false });
  };
  if (isRefused) expect(upgrade).toThrow('keeps its identity there');
  else expect(upgrade).not.toThrow();
});

it.each([
  ['in a volume, although the folder of the host can be written by now', onVolume, true, false],
  ['in the folder of the host', onHost, true, true],
  ['in a volume on a host whose folder cannot be written', onVolume, false, false],
])('an upgraded agent keeps its identity where it is: %s', (_title, binds, varLibWritable, expected) => {
  expect(keepIdentity({ binds }, { varLibWritable, systemd: true })).toEqual({
    varLibWritable: expected,
    systemd: true,
  });
});

it('a registration that would not find the identity in the volume of the agent is refused, with the way out', () => {
  const agent = { name: 'rancher-agent', binds: onVolume };
  expect(() => {
    requireFoundIdentity(agent, false);
  }).toThrow('keeps the identity of this host in a volume');
  requireFoundIdentity(agent, true);
  requireFoundIdentity({ ...agent, binds: onHost }, false);
  requireFoundIdentity(undefined, false);
});

it('a registration whose key cannot be kept is refused: each one would create another host', () => {
  expect(() => {
    requireKeptKey({ isKeyKept: false });
  }).toThrow('each registration would create another host');
  requireKeptKey({ isKeyKept: true });
});
