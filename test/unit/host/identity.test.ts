import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureRegistrationKey, registrationKeyFileOf } from '../../../src/host/identity.ts';
import { pathsBelow, type Paths } from '../../../src/support/configuration.ts';
import { ConfigurationError } from '../../../src/support/errors.ts';

let folder: string;
let paths: Paths;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'host-identity-'));
  paths = pathsBelow(folder);
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function keep(text: string): Promise<void> {
  await mkdir(paths.state, { recursive: true });
  await writeFile(registrationKeyFileOf(paths), text);
}

describe('ensureRegistrationKey', () => {
  it('makes 64 random bytes as hex, readable by root only, and keeps them for ever', async () => {
    const key = await ensureRegistrationKey(paths, (size) => Buffer.alloc(size, 0xab));
    expect(key).toBe('ab'.repeat(64));
    expect((await stat(registrationKeyFileOf(paths))).mode & 0o777).toBe(0o600);
    expect(await ensureRegistrationKey(paths, randomBytes)).toBe(key);
  });

  it.each(['0123abcDEF\n', '0123abcDEF', ' 0123abcDEF\r\n\n'])(
    'keeps an existing key as it is: %j',
    async (text) => {
      await keep(text);
      expect(await ensureRegistrationKey(paths, randomBytes)).toBe('0123abcDEF');
      expect(await readFile(registrationKeyFileOf(paths), 'utf8')).toBe(text);
    },
  );

  it.each(['', '\n', '  \n'])('fills an empty file: %j', async (text) => {
    await keep(text);
    const key = await ensureRegistrationKey(paths, randomBytes);
    expect(key).toMatch(/^[0-9a-f]{128}$/);
    expect(await readFile(registrationKeyFileOf(paths), 'utf8')).toBe(`${key}\n`);
  });

  it.each(['not a key', '0123 4567', '\0\0\0\0', 'abcdefg'])('never replaces damage: %j', async (text) => {
    await keep(text);
    const attempt = ensureRegistrationKey(paths, randomBytes);
    await expect(attempt).rejects.toThrow(ConfigurationError);
    await expect(attempt).rejects.toMatchObject({ hint: expect.stringContaining('backup') as string });
    expect(await readFile(registrationKeyFileOf(paths), 'utf8')).toBe(text);
  });

  it.each([0o644, 0o640, 0o606, 0o666])('closes a key of mode %o to others, and keeps it', async (mode) => {
    await keep('0123abcDEF\n');
    await chmod(registrationKeyFileOf(paths), mode);
    expect(await ensureRegistrationKey(paths, randomBytes)).toBe('0123abcDEF');
    expect((await stat(registrationKeyFileOf(paths))).mode & 0o777).toBe(0o600);
  });

  it('leaves a mode alone that is closed already', async () => {
    await keep('0123abcDEF\n');
    await chmod(registrationKeyFileOf(paths), 0o400);
    await ensureRegistrationKey(paths, randomBytes);
    expect((await stat(registrationKeyFileOf(paths))).mode & 0o777).toBe(0o400);
  });

  it('neither believes a key behind a link nor replaces it', async () => {
    await mkdir(paths.state, { recursive: true });
    await writeFile(join(folder, 'elsewhere'), 'abcd\n');
    await symlink(join(folder, 'elsewhere'), registrationKeyFileOf(paths));
    await expect(ensureRegistrationKey(paths, randomBytes)).rejects.toThrow('is a symbolic link');
    expect(await readFile(join(folder, 'elsewhere'), 'utf8')).toBe('abcd\n');
  });

  it('gives one host one key, however many ask at once', async () => {
    const keys = await Promise.all(
      Array.from({ length: 10 }, () => ensureRegistrationKey(paths, randomBytes)),
    );
    expect(new Set(keys).size).toBe(1);
  });
});
