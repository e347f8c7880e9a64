import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { findLargeLogs } from '../../../src/host/container-logs.ts';

async function makeHost(sizes: Readonly<Record<string, number>>): Promise<{ proc: string; root: string }> {
  const proc = await mkdtemp(join(tmpdir(), 'logs-'));
  onTestFinished(() => rm(proc, { recursive: true, force: true }));
  const root = join(proc, '1/root');
  for (const [id, bytes] of Object.entries(sizes)) {
    const folder = join(root, 'data/docker/containers', id);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${id}-json.log`), '');
    await truncate(join(folder, `${id}-json.log`), bytes);
  }
  return { proc, root };
}

it('finds the large logs in the root of the host, the largest first', async () => {
  const { proc, root } = await makeHost({ small: 999, large: 1000, larger: 5000 });
  await mkdir(join(root, 'var/lib'), { recursive: true });
  // A moved Docker root: an absolute link is one of the host.
  await symlink('/data/docker', join(root, 'var/lib/docker'));
  const found = await findLargeLogs({ proc }, '/var/lib/docker', ['small', 'large', 'none', 'larger'], 1000);
  expect(found).toEqual([
    { containerId: 'larger', bytes: 5000, path: '/var/lib/docker/containers/larger/larger-json.log' },
    { containerId: 'large', bytes: 1000, path: '/var/lib/docker/containers/large/large-json.log' },
  ]);
});

it('a link instead of a log has no size', async () => {
  const { proc, root } = await makeHost({ real: 5000 });
  const folder = join(root, 'data/docker/containers');
  await mkdir(join(folder, 'link'));
  await symlink(join(folder, 'real/real-json.log'), join(folder, 'link/link-json.log'));
  expect(await findLargeLogs({ proc }, '/data/docker', ['link'], 1000)).toEqual([]);
});
