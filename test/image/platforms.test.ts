import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildImageIn } from '../support/images/checkout.ts';
import { startHost, type TestHost } from '../support/host/host.ts';
import { readElf, readUppermostLayer, type ImageLayer } from '../support/images/image-layer.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const home = 'usr/lib/rancher-agent-entrypoint';
const tag = 'rancher/agent:test-arm64';
/** Of a registry that refuses at once. */
const base = 'localhost:9/base-arm64:latest';
/** With packages that are fetched the first time. */
const DEADLINE_MS = 10 * 60_000;

let folder: string;
let host: TestHost;
let layer: ImageLayer;

/** The other architecture than this machine's: built here, and run by an emulator. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rah-arm64-'));
  host = await startHost({ name: 'arm64', images: 'base' });
  await loadBase();
  await build('--platform', 'linux/arm64', '--sbom', join(folder, 'sbom.json'));
  layer = await readUppermostLayer(host, tag);
}, DEADLINE_MS);
afterAll(async () => {
  await layer.dispose();
  await host.stop();
  await rm(folder, { recursive: true, force: true });
});

const build = async (...args: readonly string[]): Promise<string> =>
  buildImageIn(
    root,
    { socketPath: host.engineSocketPath },
    '--unlocked',
    '--base',
    base,
    '--tag',
    tag,
    ...args,
  );

async function unpack(arch: string, name: string, into: string): Promise<void> {
  const debs = join(folder, `debs-${name}`);
  await run(join(root, 'scripts/image/fetch-debian'), ['--arch', arch, '--into', debs, name]);
  const [deb = 'none'] = await readdir(debs);
  await run('dpkg-deb', ['--extract', join(debs, deb), into]);
}

/**
 * As small as a base can be: one static program, which is its shell. `docker import` knows this machine's kind only.
 */
async function loadBase(): Promise<void> {
  await unpack('arm64', 'busybox-static', join(folder, 'busybox'));
  const [bin, archive] = [join(folder, 'base/bin'), join(folder, 'archive')];
  await mkdir(bin, { recursive: true });
  await mkdir(archive);
  await cp(join(folder, 'busybox/bin/busybox'), join(bin, 'busybox'));
  await symlink('busybox', join(bin, 'sh'));
  await run('tar', ['-c', '-f', join(archive, 'layer.tar'), '-C', join(folder, 'base'), '.']);
  const layerDigest = createHash('sha256').update(await readFile(join(archive, 'layer.tar')));
  const config = {
    architecture: 'arm64',
    os: 'linux',
    variant: 'v8',
    config: { Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layerDigest.digest('hex')}`] },
    history: [{ created: '2020-01-01T00:00:00Z' }],
  };
  const manifest = [{ Config: 'config.json', RepoTags: [base], Layers: ['layer.tar'] }];
  await writeFile(join(archive, 'config.json'), JSON.stringify(config));
  await writeFile(join(archive, 'manifest.json'), JSON.stringify(manifest));
  await run('tar', ['-c', '-f', join(folder, 'base.tar'), '-C', archive, '.']);
  await host.docker('load', '--input', join(folder, 'base.tar'));
}

describe('an image for linux/arm64', () => {
  it('says so, and is made of nothing but arm64', async () => {
    const [image] = JSON.parse(await host.docker('image', 'inspect', tag)) as [
      { Architecture: string; Variant: string; Os: string },
    ];
    expect(image).toMatchObject({ Architecture: 'arm64', Variant: 'v8', Os: 'linux' });
    expect(layer.config).toMatchObject({ architecture: 'arm64', os: 'linux' });
    const elves: string[] = [];
    for (const { path, mode } of layer.entries) {
      const elf = mode.startsWith('-') ? await readElf(join(layer.root, path)) : undefined;
      if (elf === undefined) continue;
      elves.push(path);
      expect(elf, path).toMatchObject({ machine: 'AArch64' });
    }
    expect(elves).toContain(`${home}/bin/node`);
    expect(elves.length).toBeGreaterThanOrEqual(7);
  });

  it('brings the loader and every library that anything in it needs', async () => {
    const libraries = await readdir(join(layer.root, home, 'lib'));
    expect(libraries).toContain('ld-linux-aarch64.so.1');
    const node = await readElf(join(layer.root, home, 'bin/node'));
    expect(node?.interpreter).toBe('/lib/ld-linux-aarch64.so.1');
    for (const file of ['bin/node', ...libraries.map((name) => `lib/${name}`)]) {
      const { needed = [] } = (await readElf(join(layer.root, home, file))) ?? {};
      for (const name of needed) expect(libraries, `${name}, for ${file}`).toContain(name);
    }
    const links = layer.entries.flatMap(({ path, target }) => (target === undefined ? [] : [[path, target]]));
    expect(links).toEqual([[`${home}/lib/ld.so`, 'ld-linux-aarch64.so.1']]);
  });

  it('lists its own libraries in its bill of materials, which is also written beside it', async () => {
    const inside = await readFile(join(layer.root, home, 'sbom.cdx.json'), 'utf8');
    expect(await readFile(join(folder, 'sbom.json'), 'utf8')).toBe(inside);
    expect(inside).toMatch(/pkg:deb\/debian\/libc6@[^"]*\?arch=arm64/);
    expect(inside).not.toContain('amd64');
  });

  it('runs in an emulator of that processor, which prints the version by the command of the launcher', async () => {
    await unpack('amd64', 'qemu-user-static', join(folder, 'qemu'));
    const emulator = join(folder, 'qemu/usr/bin/qemu-aarch64-static');
    // The launcher's own command line: what its last word, exec, would get.
    const launcher = (await readFile(join(layer.root, 'run.sh'), 'utf8'))
      .replace('home=/usr/lib/rancher-agent-entrypoint', `home=${join(layer.root, home)}`)
      .replace(/^exec /m, `exec ${emulator} `);
    expect(launcher).toContain(emulator);
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    const { stdout } = await run('/bin/sh', ['-c', launcher, 'run.sh', '--version'], {
      env: { PATH: '/nowhere' },
    });
    expect(stdout.trim()).toBe(version);
  });
});

describe('a base without dpkg', () => {
  it('has no packages to list: the build says so', async () => {
    const sbom = ['--sbom', join(folder, 'none.json'), '--sbom-base'];
    await expect(build(...sbom)).rejects.toMatchObject({ code: 70 });
    await expect(build('--sbom-base')).rejects.toMatchObject({ code: 64 });
  });
});

describe('a platform that the base does not support', () => {
  it('is refused, and nothing is built', async () => {
    await host.docker('rmi', tag);
    await expect(build('--platform', 'linux/amd64')).rejects.toMatchObject({ code: 69 });
    await expect(build('--platform', 'linux/riscv64')).rejects.toMatchObject({ code: 64 });
    expect((await host.tryDocker('image', 'inspect', tag)).status).not.toBe(0);
  });
});
