import { describe, expect, it } from 'vitest';
import { selectProfile } from '../../../../src/agent/identity/profile.ts';
import { labels, namesOf } from '../../../../src/agent/identity/roles.ts';
import {
  buildStateSpec,
  dockerRootOf,
  findStateContainer,
} from '../../../../src/agent/worker/state-container.ts';
import type { ContainerDetails, Engine } from '../../../../src/engine/engine.ts';

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

/** The state container as an inspection shows it; made by the legacy script, which gives no label. */
const state = {
  id: 's'.repeat(64),
  name: 'rancher-agent-state',
  image: 'rancher/agent:v1.0.2',
  imageId: 'sha256:old',
  labels: {},
  command: ['/run.sh', 'state'],
  binds: ['/var/log/rancher:/var/log/rancher', '/var/lib/rancher:/var/lib/rancher'],
  privileged: false,
  state: 'exited',
  mounts: [
    { source: '/var/log/rancher', target: '/var/log/rancher', volume: undefined },
    { source: '/var/lib/rancher', target: '/var/lib/rancher', volume: undefined },
    { source: '/var/lib/docker/volumes/c/_data', target: '/var/lib/cattle', volume: 'c' },
  ],
} as unknown as ContainerDetails;
const names = namesOf(selectProfile('rancher-1.0', {}));
const extra = { source: '/var/lib/docker/volumes/e/_data', target: '/etc', volume: 'e' };

/** An engine with these containers, and with one image of each id. */
function engineWith(
  containers: readonly ContainerDetails[],
  image: { labels: object; repoTags: readonly string[] } | undefined = {
    labels: {},
    repoTags: ['rancher/agent:v1.0.2'],
  },
) {
  return {
    inspectContainer: async (name: string) =>
      Promise.resolve(containers.find((container) => container.name === name)),
    inspectImage: async () => Promise.resolve(image),
  } as unknown as Engine;
}

describe('finding the state container', () => {
  it.each([
    ['as the legacy script creates it', {}],
    ['of our own, with a label', { labels: { [labels.role]: 'state' }, image: 'registry.example/agent:1' }],
    [
      'with a volume in the place of a folder that cannot be written',
      { binds: ['/var/log/rancher:/var/log/rancher:rw'] },
    ],
  ])('takes one %s', async (_title, parts) => {
    const found = await findStateContainer(engineWith([{ ...state, ...parts }]), names);
    expect(found?.name).toBe('rancher-agent-state');
  });

  it.each<[string, Partial<ContainerDetails>]>([
    ['with an extra mount', { mounts: [...(state.mounts ?? []), extra] }],
    ['with a mount in the place of another', { mounts: [...(state.mounts ?? []).slice(0, 2), extra] }],
    ['with a mount too few', { mounts: (state.mounts ?? []).slice(1) }],
    ['without mounts', { mounts: [] }],
    ['without a folder of the host, which a tenant cannot have', { binds: [] }],
    ['with a volume in its place', { binds: ['log:/var/log/rancher'] }],
    ['with another folder of the host in its place', { binds: ['/home/x:/var/log/rancher'] }],
    ['with another command', { command: ['/run.sh', 'state', 'x'] }],
    ['with another entrypoint', { command: ['/bin/sh', 'state'] }],
    ['with neither our label nor an agent’s image', { image: 'alpine' }],
  ])('never takes one %s: the agent would get its mounts', async (_title, parts) => {
    const forged = { ...state, ...parts };
    expect(await findStateContainer(engineWith([forged]), names)).toBeUndefined();
    const real = { ...state, name: 'rancher-agent-state-2' };
    expect(await findStateContainer(engineWith([forged, real]), names)).toBe(real);
    const all = names.states.map((name) => ({ ...forged, name }));
    await expect(findStateContainer(engineWith(all), names)).rejects.toMatchObject({
      code: 'role-name-taken',
      exitCode: 73,
    });
  });

  it('never takes one of an image that is not an agent’s, whatever it was called', async () => {
    const image = { labels: {}, repoTags: ['evil/image:1'] };
    expect(await findStateContainer(engineWith([state], image), names)).toBeUndefined();
  });

  it('takes one whose image is gone: the engine keeps no more of it than its name', async () => {
    const engine = { ...engineWith([state]), inspectImage: async () => Promise.resolve(undefined) } as Engine;
    expect(await findStateContainer(engine, names)).toBe(state);
  });

  it('looks for none where the profile has none', async () => {
    const other = namesOf(selectProfile('rancher-1.2', {}));
    expect(await findStateContainer(engineWith([state]), other)).toBeUndefined();
  });
});
