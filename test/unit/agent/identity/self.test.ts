import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { labels } from '../../../../src/agent/identity/roles.ts';
import { inspectOwnContainer } from '../../../../src/agent/identity/self.ts';
import type { ContainerDetails, ContainerFilter, Engine } from '../../../../src/engine/engine.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';

/* Which container a process runs in, by what the kernel shows and what the engine says. */

const ours = 'a'.repeat(64);
const web = 'b'.repeat(64);
const layerOfOurs = 'c'.repeat(64);
const layerOfWeb = 'd'.repeat(64);

let proc: string;
let running: ContainerDetails[];
let asked: string[];

beforeEach(async () => {
  proc = await mkdtemp(join(tmpdir(), 'self-'));
  await mkdir(join(proc, 'self'));
  running = [];
  asked = [];
});
afterEach(async () => rm(proc, { recursive: true }));

function add(id: string, parts: Partial<ContainerDetails> = {}): void {
  const details: Partial<ContainerDetails> = {
    id,
    name: `name-of-${id.slice(0, 4)}`,
    state: 'running',
    labels: { [labels.version]: '1' },
    layers: [],
    pid: 0,
    networkMode: 'default',
    ...parts,
  };
  running.push(details as ContainerDetails);
}

async function find(hostname = 'web-1'): Promise<string | undefined> {
  const engine: Pick<Engine, 'inspectContainer' | 'listContainers'> = {
    inspectContainer: async (id) => {
      asked.push(id);
      return Promise.resolve(running.find((each) => each.id.startsWith(id) || each.name === id));
    },
    listContainers: async ({ label = '' }: ContainerFilter) => {
      asked.push('list');
      return Promise.resolve(
        running
          .filter((each) => label in each.labels)
          .map((each) => ({ ...each, command: '', createdAt: 0 })),
      );
    },
  };
  const configuration = { paths: pathsBelow('/none', proc), hostname, limits: defaultLimits };
  return (await inspectOwnContainer(engine as Engine, configuration))?.id;
}

async function cgroup(text: string): Promise<void> {
  await writeFile(join(proc, 'self/cgroup'), text);
}

/** Mounted files of a container, and our root file system. */
async function mounts(files: string, layer?: string): Promise<void> {
  const options = layer === undefined ? 'upperdir=/c/38/fs' : `upperdir=/d/overlay2/${layer}/diff`;
  await writeFile(
    join(proc, 'self/mountinfo'),
    `1 0 0:1 / / rw - overlay overlay rw,${options}\n` +
      `2 1 8:1 /d/containers/${files}/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n`,
  );
}

async function namespaces(byPid: Readonly<Record<string, string>>): Promise<void> {
  for (const [pid, name] of Object.entries(byPid)) {
    await mkdir(join(proc, pid, 'ns'), { recursive: true });
    await symlink(name, join(proc, pid, 'ns/mnt'));
  }
}

/** As with `--network container:web`. */
function addBoth(own: Partial<ContainerDetails> = {}, other: Partial<ContainerDetails> = {}): void {
  add(web, { labels: {}, layers: [layerOfWeb], ...other });
  add(ours, { networkMode: `container:${web}`, layers: [layerOfOurs], ...own });
}

describe('our own container, with one inspection', () => {
  it.each([
    ['cgroup v1', `5:cpu:/docker/${ours}\n`],
    ['cgroup v2 of the host', `0::/system.slice/docker-${ours}.scope\n`],
    ['hybrid', `0::/\n5:cpu:/docker/${ours}\n`],
  ])('by the cgroup: %s', async (_case, text) => {
    await cgroup(text);
    await mounts(web);
    addBoth({ layers: [] });
    expect(await find()).toBe(ours);
    expect(asked).toEqual([ours]);
  });

  it('by the layer of the root file system, where the cgroup namespace is private', async () => {
    await cgroup('0::/\n');
    await mounts(ours, layerOfOurs);
    add(ours, { layers: [layerOfOurs] });
    expect(await find()).toBe(ours);
    expect(asked).toEqual([ours]);
  });

  it('by the mount namespace, beside the processes of the host', async () => {
    await cgroup('0::/\n');
    await mounts(ours);
    await namespaces({ 1: 'mnt:[1]', self: 'mnt:[7]', 4321: 'mnt:[7]' });
    add(ours, { pid: 4321 });
    expect(await find()).toBe(ours);
    expect(asked).toEqual([ours]);
  });

  it('under a host name that is another one’s id', async () => {
    await cgroup(`5:cpu:/docker/${ours}\n`);
    addBoth();
    expect(await find(web.slice(0, 12))).toBe(ours);
  });
});

describe('our own container, with the network of another one', () => {
  it('is found by its layer, and the other one is no candidate', async () => {
    await cgroup('0::/\n');
    await mounts(web, layerOfOurs);
    addBoth();
    expect(await find(web.slice(0, 12))).toBe(ours);
  });

  it('is found where the other one has our image as well', async () => {
    await cgroup('0::/\n');
    await mounts(web, layerOfOurs);
    addBoth({}, { labels: { [labels.version]: '1' } });
    expect(await find()).toBe(ours);
  });

  it("is found with containerd's image store: only one of our image has those files", async () => {
    await cgroup('0::/\n');
    await mounts(web);
    addBoth({ layers: [] }, { layers: [] });
    add('e'.repeat(64), { layers: [] });
    expect(await find()).toBe(ours);
  });

  it('is not guessed there if two of our image may have those files', async () => {
    await cgroup('0::/\n');
    await mounts(web);
    addBoth({ layers: [] }, { layers: [], labels: { [labels.version]: '1' } });
    expect(await find()).toBeUndefined();
  });

  it('is not guessed where the engine names the other container in a way of its own', async () => {
    await cgroup('0::/\n');
    await mounts(ours);
    add(ours);
    add(web, { networkMode: 'container:shop' });
    expect(await find()).toBeUndefined();
  });
});

describe('our own container is unknown', () => {
  it('where nothing shows one; the engine is not asked', async () => {
    await cgroup('0::/init.scope\n');
    add(ours);
    expect(await find()).toBeUndefined();
    expect(asked).toEqual([]);
  });

  it('where another engine runs it', async () => {
    await cgroup(`5:cpu:/docker/${ours}\n`);
    await mounts(ours, layerOfOurs);
    add(web, { layers: [layerOfWeb] });
    expect(await find(ours.slice(0, 12))).toBeUndefined();
  });

  it('where only a host name gives it', async () => {
    add(web);
    expect(await find(web.slice(0, 12))).toBeUndefined();
  });

  it('where a cgroup names a container with another root file system', async () => {
    await cgroup(`5:cpu:/docker/${web}\n`);
    await mounts(web, layerOfOurs);
    add(web, { layers: [layerOfWeb] });
    expect(await find()).toBeUndefined();
  });

  it('with a container that is named as an id', async () => {
    await cgroup(`5:cpu:/docker/${ours}\n`);
    add(web, { name: ours });
    expect(await find()).toBeUndefined();
  });

  it('among more containers of our image than are inspected', async () => {
    await cgroup('0::/\n');
    await mounts(ours);
    for (let n = 0; n <= defaultLimits.OWN_SEARCH; n += 1) add(`${n}`.padEnd(64, 'f'));
    add(ours);
    expect(await find()).toBeUndefined();
    expect(asked.filter((each) => each !== 'list')).toHaveLength(1 + defaultLimits.OWN_SEARCH);
  });
});
