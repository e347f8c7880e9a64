import { describe, expect, it } from 'vitest';
import { buildStateSpec, dockerRootOf } from '../../../../src/agent/worker/state-container.ts';
import type { ContainerDetails } from '../../../../src/engine/engine.ts';

const ingredients = { image: 'rancher/agent:v1.0.2', varLibWritable: true };

/** A container as far as its mounts go. */
function mounting(source: string): ContainerDetails {
  return {
    mounts: [{ source, target: '/var/lib/cattle', volume: undefined }],
  } as unknown as ContainerDetails;
}

describe('the state container', () => {
  it('binds the logs and the folder of the host, and has a volume without a name for the rest (contract §4)', () => {
    expect(buildStateSpec(ingredients)).toMatchObject({
      command: ['state'],
      environment: {},
      restart: 'no',
      autoRemove: false,
      privileged: false,
      binds: ['/var/log/rancher:/var/log/rancher', '/var/lib/rancher:/var/lib/rancher'],
      anonymousVolumes: ['/var/lib/cattle'],
    });
  });

  it('has a volume in the place of a folder that can not be written', () => {
    expect(buildStateSpec({ ...ingredients, varLibWritable: false })).toMatchObject({
      binds: ['/var/log/rancher:/var/log/rancher'],
      anonymousVolumes: ['/var/lib/cattle', '/var/lib/rancher'],
    });
  });

  it('takes up the volumes of the agent when the one before was pruned away', () => {
    const before = [
      { source: '/var/lib/docker/volumes/c/_data', target: '/var/lib/cattle', volume: 'c' },
      { source: '/var/lib/docker/volumes/r/_data', target: '/var/lib/rancher', volume: 'r' },
      { source: '/proc', target: '/host/proc', volume: undefined },
    ];
    for (const varLibWritable of [true, false]) {
      expect(buildStateSpec({ ...ingredients, varLibWritable }, before)).toMatchObject({
        binds: ['/var/log/rancher:/var/log/rancher', 'r:/var/lib/rancher', 'c:/var/lib/cattle'],
        anonymousVolumes: [],
      });
    }
  });
});

describe('the Docker root', () => {
  it.each([
    ['/srv/docker/volumes/0123abcd/_data', '/srv/docker'],
    ['/var/lib/docker/100000.100000/volumes/x/_data', '/var/lib/docker/100000.100000'],
    // Engines before 1.9.
    ['/var/lib/docker/vfs/dir/0123abcd', '/var/lib/docker'],
    // Put there by a person: three levels up would be the root of the host.
    ['/var/lib/cattle', '/engine/says'],
    ['/volumes/x/_data', '/engine/says'],
    ['', '/engine/says'],
  ])('with the volume at %j is %s', (source, root) => {
    expect(dockerRootOf(mounting(source), { rootDirectory: '/engine/says' })).toBe(root);
  });
});
