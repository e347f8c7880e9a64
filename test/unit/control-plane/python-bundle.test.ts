import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import {
  pythonBundleOf,
  trustInPythonAgent,
  withAuthority,
} from '../../../src/control-plane/python-bundle.ts';
import { certificates } from '../../support/server/certificates.ts';
import { createTestConnection } from '../../support/server/test-connection.ts';

async function setUp({ authority = certificates.authority }: { readonly authority?: string } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'python-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const bundle = pythonBundleOf(folder);
  const caFile = join(folder, 'ca.crt');
  await mkdir(dirname(bundle), { recursive: true });
  if (authority !== '') await writeFile(caFile, authority);
  const { log } = createTestConnection();
  const trust = async () => trustInPythonAgent({ log, bundle, caFile, deadlineMs: 5_000 });
  return { bundle, caFile, trust };
}

it('adds ca.crt once, keeps the bundle as it came, its mode, and does not write again', async () => {
  const { bundle, trust } = await setUp();
  await writeFile(bundle, certificates.stranger);
  await chmod(bundle, 0o640);
  await trust();
  const text = await readFile(bundle, 'utf8');
  expect(text).toContain(certificates.authority.trim());
  expect(text.startsWith(certificates.stranger)).toBe(true);
  expect(await readFile(`${bundle}.orig`, 'utf8')).toBe(certificates.stranger);
  const { ino, mode } = await stat(bundle);
  expect(mode & 0o777).toBe(0o640);
  await trust();
  expect((await stat(bundle)).ino).toBe(ino);
  expect((await readdir(dirname(bundle))).sort()).toEqual(['cacert.pem', 'cacert.pem.orig']);
});

it('a new ca.crt takes the place of the one before', async () => {
  const { bundle, caFile, trust } = await setUp();
  await writeFile(bundle, 'original');
  await trust();
  await writeFile(caFile, certificates.stranger);
  await trust();
  const text = await readFile(bundle, 'utf8');
  expect(text.match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
  expect(text).toContain(certificates.stranger.trim());
  expect(await readFile(`${bundle}.orig`, 'utf8')).toBe('original');
});

it('what the legacy entrypoint added counts', () => {
  const legacy = `${certificates.stranger}${certificates.authority}`;
  expect(withAuthority(legacy, certificates.authority)).toBe(legacy);
});

it.each(['no bundle', 'no ca.crt', 'a link'] as const)('writes nothing with %s', async (what) => {
  const { bundle, trust } = await setUp(what === 'no ca.crt' ? { authority: '' } : {});
  const elsewhere = join(dirname(bundle), '../elsewhere');
  if (what === 'a link') {
    await writeFile(elsewhere, 'x');
    await symlink(elsewhere, bundle);
  } else if (what === 'no ca.crt') await writeFile(bundle, 'x');
  const before = await readdir(dirname(bundle));
  await trust();
  expect(await readdir(dirname(bundle))).toEqual(before);
  if (what === 'a link') expect(await readFile(elsewhere, 'utf8')).toBe('x');
});
