import { expect, it } from 'vitest';
import { requireSameIdentity } from '../../../../src/agent/worker/identity-guard.ts';

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
