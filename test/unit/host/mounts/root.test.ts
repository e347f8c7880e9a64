import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { resolveInRoot } from '../../../../src/host/mounts/root.ts';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'host-root-'));
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

it('stays in the other root, whatever the links say', async () => {
  await mkdir(join(root, 'var/lib'), { recursive: true });
  await symlink('/data/docker', join(root, 'var/lib/docker'));
  await symlink('../../../../etc', join(root, 'var/up'));
  expect(await resolveInRoot(root, '/var/lib/docker/overlay2')).toBe(join(root, 'data/docker/overlay2'));
  expect(await resolveInRoot(root, '/var/up/passwd')).toBe(join(root, 'etc/passwd'));
  expect(await resolveInRoot(root, '/../../none//./there/')).toBe(join(root, 'none/there'));
});

it('does not follow a loop for ever', async () => {
  await symlink('/b', join(root, 'a'));
  await symlink('/a', join(root, 'b'));
  await expect(resolveInRoot(root, '/a')).rejects.toThrow('too many symbolic links');
});
