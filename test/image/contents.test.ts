import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createGzip } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findSchemaErrors, flatten, type Bill } from '../support/images/bill.ts';
import { readElf, readUppermostLayer, type ImageLayer } from '../support/images/image-layer.ts';
import { startHost, type TestHost } from '../support/host/host.ts';
import { images } from '../support/scenes/scene.ts';

const root = join(import.meta.dirname, '..', '..');
const home = 'usr/lib/rancher-agent-entrypoint';

let host: TestHost;
let layer: ImageLayer;

beforeAll(async () => {
  host = await startHost({ name: 'contents' });
  layer = await readUppermostLayer(host, images.a);
});
afterAll(async () => {
  await layer.dispose();
  await host.stop();
});

const readBillText = async (): Promise<string> => readFile(join(layer.root, home, 'sbom.cdx.json'), 'utf8');
const readBill = async (): Promise<Bill> => JSON.parse(await readBillText()) as Bill;

describe('what the image adds to its base', () => {
  it('is a fixed list of files, without sources, packages or development tools', () => {
    const own = layer.entries
      .map(({ path }) => path)
      .filter((path) => !path.startsWith(`${home}/licenses/npm/`));
    expect(own.sort()).toEqual(
      [
        'run.sh',
        ...['usr', 'usr/lib', home],
        ...['bin', 'bin/node', 'health.sh', 'main.cjs', 'sbom.cdx.json'].map(inHome),
        ...['', '.LEGAL.txt', `.${process.arch}.cache`].map((end) => inHome(`entrypoint.js${end}`)),
        ...['lib', 'lib/ld-linux-x86-64.so.2', 'lib/ld.so', 'lib/libc.so.6', 'lib/libdl.so.2'].map(inHome),
        ...['lib/libgcc_s.so.1', 'lib/libm.so.6', 'lib/libpthread.so.0', 'lib/libstdc++.so.6'].map(inHome),
        ...['licenses', 'licenses/LICENSE.txt', 'licenses/node.txt', 'licenses/npm'].map(inHome),
        ...['licenses/glibc.txt', 'licenses/gcc-libraries.txt', 'licenses/SOURCES'].map(inHome),
        ...['licenses/GPL-2.txt', 'licenses/GPL-3.txt', 'licenses/LGPL-2.1.txt'].map(inHome),
      ].sort(),
    );
  });

  it('belongs to root, can be changed by root only, has no special rights, and is as old as the commit', () => {
    const created = layer.config.created.replace('.000Z', 'Z');
    expect(layer.config.config.Labels['org.opencontainers.image.created']).toBe(created);
    for (const { path, mode, owner, changed } of layer.entries) {
      expect({ path, owner, changed }).toEqual({ path, owner: '0/0', changed: created });
      expect(mode, path).toMatch(/^(drwxr-xr-x|-rwxr-xr-x|-rw-r--r--|lrwxrwxrwx)$/);
    }
    const executable = layer.entries.filter(({ mode }) => mode === '-rwxr-xr-x').map(({ path }) => path);
    const expected = ['bin/node', 'health.sh', 'lib/ld-linux-x86-64.so.2'].map(inHome);
    expect(executable.sort()).toEqual(['run.sh', ...expected].sort());
    const links = layer.entries.flatMap(({ path, target }) => (target === undefined ? [] : [[path, target]]));
    expect(links).toEqual([[inHome('lib/ld.so'), 'ld-linux-x86-64.so.2']]);
  });

  it('contains nothing about the machine that built it, and no key', async () => {
    const told = [root, `/home/`, '_authToken', 'BEGIN OPENSSH PRIVATE KEY'];
    // A name of a few letters would be found in any text.
    if (hostname().length > 5) told.push(hostname());
    for (const { path, mode } of layer.entries) {
      if (!mode.startsWith('-') || /\/(bin\/node|lib\/.*|licenses\/.*)$/.test(path)) continue;
      const text = await readFile(join(layer.root, path), 'latin1');
      for (const word of told) expect(text.includes(word), `${word} in ${path}`).toBe(false);
    }
    for (const path of ['bin/node', 'main.cjs', 'entrypoint.js', `entrypoint.js.${process.arch}.cache`].map(
      inHome,
    )) {
      const bytes = await readFile(join(layer.root, path));
      expect(bytes.includes(root), path).toBe(false);
    }
    expect(layer.config.config.Env.map((entry) => entry.split('=')[0])).toEqual([
      ...['PATH', 'AGENT_PROFILE', 'RANCHER_AGENT_IMAGE', 'CATTLE_HOME'],
    ]);
  });

  it('adds less than 60 MB to what is pulled', async () => {
    let size = 0;
    for await (const chunk of createReadStream(layer.tar).pipe(createGzip()))
      size += (chunk as Buffer).length;
    expect(size).toBeGreaterThan(10_000_000);
    expect(size).toBeLessThan(60_000_000);
  });

  it('is complete: every library that a file of it needs is in it, for one architecture', async () => {
    const libraries = await readdir(join(layer.root, home, 'lib'));
    const files = ['bin/node', ...libraries.map((name) => `lib/${name}`)];
    for (const file of files) {
      const elf = await readElf(join(layer.root, home, file));
      expect(elf, file).toMatchObject({ machine: 'Advanced Micro Devices X86-64' });
      for (const needed of elf?.needed ?? []) expect(libraries, `${needed}, for ${file}`).toContain(needed);
    }
    expect(layer.config).toMatchObject({ architecture: 'amd64', os: 'linux' });
  });
});

describe('the labels', () => {
  it('name the product and its version, as scanners and registries read them', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    const labels = layer.config.config.Labels;
    expect(labels).toMatchObject({
      'io.rancher.agent-entrypoint.version': version,
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.revision': 'a',
      'org.opencontainers.image.base.name': images.base,
      'org.opencontainers.image.licenses': 'Apache-2.0',
    });
    for (const [name, value] of Object.entries(labels)) expect(value, name).not.toBe('');
    expect(await host.docker('run', '--rm', images.a, '--version')).toBe(version);
  });
});

describe('the bill of materials', () => {
  it('lists the project, Node and the libraries in the versions that are there', async () => {
    const bill = await readBill();
    expect(bill).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.6' });
    expect(bill.serialNumber).toMatch(
      /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    const created = layer.config.config.Labels['org.opencontainers.image.created'] ?? '';
    expect(Date.parse(bill.metadata.timestamp)).toBe(Date.parse(created));
    expect(bill.metadata.component.version).toBe(
      layer.config.config.Labels['org.opencontainers.image.version'],
    );
    const versionOf = (name: string): string | undefined =>
      bill.components.find((component) => component.name === name)?.version;
    const loader = `/${home}/lib/ld.so`;
    const node = [loader, '--library-path', `/${home}/lib`, `/${home}/bin/node`];
    const inImage = async (...command: readonly string[]): Promise<string> =>
      host.docker('run', '--rm', images.a, '--', ...command);
    expect(await inImage(...node, '--version')).toBe(`v${versionOf('node') ?? ''}`);
    const libc = versionOf('libc6') ?? 'none';
    expect(await inImage(`/${home}/lib/ld.so`, '--version')).toContain(`Debian GLIBC ${libc})`);
    expect(bill.components.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['libgcc-s1', 'libstdc++6', 'docker-modem', 'undici', 'pino', 'valibot']),
    );
  });

  it('names each part once, with licence, checksum, and a name that says where it comes from', async () => {
    const { components, dependencies, metadata } = await readBill();
    const references = components.map((component) => component['bom-ref']);
    expect(new Set(references).size).toBe(references.length);
    const own = dependencies.find(({ ref }) => ref === metadata.component['bom-ref']);
    expect(own?.dependsOn?.toSorted()).toEqual(references.toSorted());
    for (const { name, version, purl, licenses, hashes = [] } of components) {
      expect(version, name).toMatch(/^\d/);
      expect(purl, name).toMatch(/^pkg:(npm|deb)\//);
      expect(licenses, name).toHaveLength(1);
      expect(hashes[0]?.content, name).toMatch(/^([0-9a-f]{64}|[0-9a-f]{128})$/);
    }
    // None of the tools that only build and test.
    const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { version: string; dev?: boolean }>;
    };
    for (const { purl = '', version } of components) {
      const [, name] = /^pkg:npm\/([^@]*)@/.exec(decodeURIComponent(purl.replace('%40', '_'))) ?? [];
      if (name === undefined) continue;
      const folder = `node_modules/${name.replace(/^_/, '@')}`;
      const locked = Object.entries(packages).filter(([path]) => path.endsWith(folder));
      expect(
        locked.some(([, it]) => it.version === version && it.dev !== true),
        name,
      ).toBe(true);
    }
  });

  it('is what the schema of CycloneDX asks for', async () => {
    expect(await findSchemaErrors(await readBillText())).toBeNull();
  });

  it('lists every file of the layer but itself, with the checksum that it has', async () => {
    const { components, metadata } = await readBill();
    const listed = flatten([metadata.component, ...components]).filter(({ type }) => type === 'file');
    const found = layer.entries.filter(
      ({ mode, path }) => mode.startsWith('-') && !path.endsWith('sbom.cdx.json'),
    );
    expect(listed.map(({ name }) => name).sort()).toEqual(found.map(({ path }) => `/${path}`).sort());
    for (const { name, hashes } of listed) {
      const bytes = await readFile(join(layer.root, name));
      const content = createHash('sha256').update(bytes).digest('hex');
      expect(hashes, name).toEqual([{ alg: 'SHA-256', content }]);
    }
  });

  it('has a line in SOURCES for each library of image/debian.lock: where its exact source is', async () => {
    const sources = (await readFile(join(layer.root, home, 'licenses/SOURCES'), 'utf8')).split('\n');
    const lock = (await readFile(join(root, 'image/debian.lock'), 'utf8')).split('\n');
    const locked = lock.filter((line) => line.startsWith('amd64 '));
    expect(locked).toHaveLength(5);
    for (const line of locked) {
      const [, name = ''] = line.split(' ');
      const entry = sources.filter((it) => it.startsWith(`${name} `));
      expect(entry, name).toHaveLength(1);
      expect(entry[0]).toMatch(/ https:\/\/snapshot\.debian\.org\/package\/[\w.-]+\/[\w.%~-]+\/$/);
    }
  });

  it('comes with the licence of each part', async () => {
    const { components } = await readBill();
    const npm = components.filter(({ type, purl }) => type === 'library' && purl?.startsWith('pkg:npm/'));
    const files = npm.map(
      ({ name, version }) => `${name.replace('@', '').replace('/', '__')}-${version}.txt`,
    );
    expect((await readdir(join(layer.root, home, 'licenses/npm'))).sort()).toEqual(files.sort());
    const text = async (file: string): Promise<string> =>
      readFile(join(layer.root, home, 'licenses', file), 'utf8');
    expect(await text('LICENSE.txt')).toBe(await readFile(join(root, 'LICENSE'), 'utf8'));
    expect(await text('node.txt')).toContain('Node.js is licensed for use as follows');
    expect(await text('glibc.txt')).toContain('GNU Lesser General Public');
    expect(await text('gcc-libraries.txt')).toContain('GCC Runtime Library Exception');
    expect(await text('LGPL-2.1.txt')).toContain('GNU LESSER GENERAL PUBLIC LICENSE');
  });
});

it('the layer is the tar whose digest the image names, so nothing was changed on the way', async () => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(layer.tar)) hash.update(chunk as Buffer);
  const layers = await host.docker('image', 'inspect', '--format', '{{json .RootFS.Layers}}', images.a);
  expect((JSON.parse(layers) as string[]).at(-1)).toBe(`sha256:${hash.digest('hex')}`);
});

function inHome(path: string): string {
  return `${home}/${path}`;
}
