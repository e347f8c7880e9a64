import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildImageIn, checkOut, commitTime, makeOrigin } from '../support/images/checkout.ts';
import { findSchemaErrors, type Bill } from '../support/images/bill.ts';
import { startHost, type TestHost } from '../support/host/host.ts';

const base = 'agent-test-base';
/** Two builds, each with packages that are fetched the first time. */
const DEADLINE_MS = 10 * 60_000;
const tag = 'registry.example:5000/rancher/agent:v1';

let folder: string;
let first: TestHost;
let second: TestHost;
let checkouts: readonly [string, string];
/** The ids of the two builds, as the script prints them. */
let built: readonly [string, string];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rah-checkouts-'));
  checkouts = [join(folder, 'one'), join(folder, 'a longer name/of another place')];
  await makeOrigin(join(folder, 'origin'));
  for (const checkout of checkouts) await checkOut(join(folder, 'origin'), checkout);
  first = await startHost({ name: 'builder-1', images: 'base' });
  second = await startHost({ name: 'builder-2', images: 'base' });
  const other = { TZ: 'Asia/Tokyo', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' };
  built = [
    await build(checkouts[0], { socketPath: first.engineSocketPath }),
    await build(checkouts[1], { socketPath: second.engineSocketPath, environment: other, umask: '077' }),
  ];
}, DEADLINE_MS);
afterAll(async () => {
  await first.stop();
  await second.stop();
  await rm(folder, { recursive: true, force: true });
});

type Options = Parameters<typeof buildImageIn>[1];

const build = async (checkout: string, options: Options, ...more: readonly string[]): Promise<string> =>
  buildImageIn(checkout, options, '--unlocked', '--base', base, '--tag', tag, ...more);

interface Image {
  readonly Id: string;
  readonly Created: string;
  readonly RootFS: { readonly Layers: readonly string[] };
}

async function look(host: TestHost, image: string): Promise<Image> {
  const [found] = JSON.parse(await host.docker('image', 'inspect', image)) as [Image];
  return found;
}

describe('two clean checkouts, in two places, built in two engines', () => {
  it('give one image: the same id, the same layers', async () => {
    const [one, two] = [await look(first, tag), await look(second, tag)];
    expect(two.RootFS.Layers).toEqual(one.RootFS.Layers);
    expect(two.Id).toBe(one.Id);
    expect(built).toEqual([one.Id, one.Id]);
  });

  it("give an image as old as the commit, with one layer more than its base and the base's own history", async () => {
    const image = await look(first, tag);
    const under = await look(first, base);
    expect(Date.parse(image.Created)).toBe((await commitTime(checkouts[0])) * 1000);
    expect(image.RootFS.Layers.slice(0, -1)).toEqual(under.RootFS.Layers);
    const format = '{{.CreatedAt}} {{.Size}} {{.CreatedBy}} {{.Comment}}';
    const history = async (name: string): Promise<readonly string[]> =>
      (await first.docker('history', '--no-trunc', '--human=false', '--format', format, name)).split('\n');
    const [ours, ...rest] = await history(tag);
    expect(ours).toContain('rancher-agent-entrypoint');
    expect(rest).toEqual(await history(base));
  });

  it('leave nothing behind in the engine but the image', async () => {
    expect(await first.docker('ps', '-aq')).toBe('');
    const ids = (await first.docker('images', '-aq', '--no-trunc')).split('\n');
    expect(ids.sort()).toEqual([(await look(first, tag)).Id, (await look(first, base)).Id].sort());
  });

  it("keep the modes and owners of the base's folders", async () => {
    const list = async (image: string, ...paths: readonly string[]): Promise<readonly string[]> => {
      const format = ['-c', '%n %a %u %g %F'];
      const originalMessage = await second.docker(
        'run',
        '--rm',
        '--entrypoint',
        'stat',
        image,
        ...format,
        ...paths,
      );
      return originalMessage.split('\n');
    };
    expect(await list(tag, '/', '/usr', '/usr/lib')).toEqual(await list(base, '/', '/usr', '/usr/lib'));
    const home = '/usr/lib/rancher-agent-entrypoint';
    expect(await list(tag, '/run.sh', home, `${home}/health.sh`)).toEqual([
      '/run.sh 755 0 0 regular file',
      `${home} 755 0 0 directory`,
      `${home}/health.sh 755 0 0 regular file`,
    ]);
  });
});

describe('a bill of materials with the packages of the base', () => {
  it('is written beside the image, which is the same as without it', async () => {
    const file = join(folder, 'whole.cdx.json');
    const options = { socketPath: first.engineSocketPath };
    expect(await build(checkouts[0], options, '--sbom', file, '--sbom-base')).toBe(built[0]);
    const text = await readFile(file, 'utf8');
    expect(await findSchemaErrors(text)).toBeNull();
    const { components } = JSON.parse(text) as Bill;
    const under = components.find(({ type }) => type === 'container');
    expect(under).toMatchObject({ name: base, version: (await look(first, base)).Id });
    const packages = (under?.components ?? []).map(({ purl }) => purl);
    expect(packages.length).toBeGreaterThan(50);
    expect(packages).toContainEqual(expect.stringMatching(/^pkg:deb\/debian\/libc6@.*&upstream=glibc$/));
    expect(await first.docker('ps', '-aq')).toBe('');
  });
});

describe('a build from other inputs', () => {
  const options = (): Options => ({ socketPath: first.engineSocketPath });

  it('gives another image for another time, and another layer for another source', async () => {
    const before = await look(first, built[0]);
    const environment = { SOURCE_DATE_EPOCH: '1700000000' };
    const old = await look(first, await build(checkouts[0], { ...options(), environment }));
    expect(old.Id).not.toBe(before.Id);
    expect(old.Created).toBe('2023-11-14T22:13:20Z');

    await appendFile(join(checkouts[0], 'image/health.sh'), '# another line\n');
    const after = await look(first, await build(checkouts[0], options()));
    expect(after.RootFS.Layers.at(-1)).not.toBe(before.RootFS.Layers.at(-1));
    expect(after.RootFS.Layers.slice(0, -1)).toEqual(before.RootFS.Layers.slice(0, -1));
    const label = '{{index .Config.Labels "org.opencontainers.image.revision"}}';
    const revision = await first.docker('image', 'inspect', '--format', label, built[0]);
    expect(await first.docker('image', 'inspect', '--format', label, after.Id)).toBe(`${revision}-dirty`);
  });
});
