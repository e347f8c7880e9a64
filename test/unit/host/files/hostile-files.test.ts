import { execFile, execFileSync } from 'node:child_process';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imageNodeFlags } from '../../../support/run/image-flags.ts';
import { isRoot } from './small-disk.ts';

/*
 * Somebody may write below /var/lib/rancher who is not root on the host: a container that has the folder, or a damaged disk. A real
 * process reads every file there, under the flags that the image gives to Node.
 */

const canary = 'root:$6$canary$hash';

/** Each file, below /var/lib/rancher, and the readers of it. */
const files = {
  'entrypoint/status.json': 'status',
  'entrypoint/attempts.json': 'attempts',
  'entrypoint/serving.json': 'serving',
  'entrypoint/reported.json': 'reported',
  'entrypoint/lock-owner.json': 'lockHolder',
  'state/.registration_token': 'hostKey',
  'etc/agent.conf': 'agentConf',
  'etc/ssl/ca.crt': 'caFile',
  'docker/config.json': 'credentials',
  'metrics/rancher.prom': 'metrics',
} as const;

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hostile-'));
  for (const file of Object.keys(files)) await mkdir(dirname(join(folder, file)), { recursive: true });
  await writeFile(join(folder, 'canary'), canary);
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

type Answers = Readonly<Record<string, { readonly ms: number; readonly says: string }>>;

async function readAll(): Promise<Answers> {
  const reader = join(import.meta.dirname, 'hostile-reader.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [...imageNodeFlags(), reader, folder], {
    timeout: 50_000,
  });
  return JSON.parse(stdout) as Answers;
}

const forms: Readonly<Record<string, (path: string) => Promise<void>>> = {
  'a FIFO': (path) => {
    execFileSync('mkfifo', [path]);
    return Promise.resolve();
  },
  '100 MB without a content': async (path) => {
    await writeFile(path, '');
    await truncate(path, 100_000_000);
  },
  'a link to /dev/zero': async (path) => symlink('/dev/zero', path),
  'a link to a file of secrets': async (path) => symlink(join(folder, 'canary'), path),
  'a folder': async (path) => {
    await mkdir(path);
  },
  'another text': async (path) => writeFile(path, canary),
  'JSON of another kind': async (path) =>
    writeFile(path, JSON.stringify({ version: canary, command: [canary] })),
  '1 MB of brackets': async (path) => writeFile(path, '['.repeat(1_000_000)),
  '1 MB of objects': async (path) => writeFile(path, `[${'{},'.repeat(340_000)}{}]`),
};

describe('every file of the host', () => {
  it.each(Object.entries(forms))('that is %s', { timeout: 60_000 }, async (form, make) => {
    for (const file of Object.keys(files)) await make(join(folder, file));
    const answers = await readAll();
    for (const name of Object.values(files)) {
      const { ms, says } = answers[name] ?? { ms: -1, says: '' };
      expect(says, name).not.toMatch(/canary|root:/);
      expect(ms, name).toBeGreaterThanOrEqual(0);
      expect(ms, name).toBeLessThan(15_000);
    }
    expect(answers['hostKey']?.says).toMatch(/Error/);
    expect(answers['caFile']?.says).toMatch(/ConfigurationError/);
    // What is written replaces whatever lies there, but a folder.
    const written = form === 'a folder' ? /there is a folder where a file should be/ : /^nothing/;
    expect(answers['metrics']?.says).toMatch(written);
    if (form !== 'a folder') expect(answers['lock']?.says).toBe('"held"');
    expect((await lstat(join(folder, 'metrics/rancher.prom'))).isSymbolicLink()).toBe(false);
  });

  it('that is as it should be is read', { timeout: 60_000 }, async () => {
    await writeFile(join(folder, 'state/.registration_token'), 'abcd\n');
    await writeFile(join(folder, 'etc/agent.conf'), 'export A=b\n');
    const answers = await readAll();
    expect(answers['hostKey']?.says).toBe('"abcd"');
    expect(answers['agentConf']?.says).toBe('{"variables":{"A":"b"},"problems":[]}');
    expect(answers['lock']?.says).toBe('"held"');
    expect(answers['status']?.says).toBe('{"kind":"missing"}');
  });
});

describe('a folder of ours', () => {
  const outside = 'outside';

  /** What the readers say when the folder is unsafe, and what was left in it. */
  async function expectUnused(place: string, fault: RegExp): Promise<void> {
    await writeFile(join(folder, 'etc/agent.conf'), 'export A=b\n');
    const answers = await readAll();
    const names = { entrypoint: ['status', 'attempts', 'serving', 'lock'], etc: ['agentConf'] }[place] ?? [];
    for (const name of names) expect(answers[name]?.says, name).toMatch(fault);
    expect(answers['reported']?.says).toBe('nothing');
    if (place === 'etc') expect(answers['agentConf']?.says).toContain('"variables":{}');
    expect(await readdir(join(folder, place))).not.toContain('lock-owner.json');
    expect(await readdir(join(folder, place))).not.toContain('status.json');
  }

  it.each(['entrypoint', 'etc'])(
    'that is a link (%s) is not written through, nor read',
    { timeout: 60_000 },
    async (place) => {
      await rename(join(folder, place), join(folder, outside));
      await symlink(outside, join(folder, place));
      await expectUnused(place, /is not used: it is a symbolic link/);
    },
  );

  it.each(['entrypoint', 'etc'])(
    'in which everybody may write (%s) is not used',
    { timeout: 60_000 },
    async (place) => {
      await chmod(join(folder, place), 0o1777);
      await expectUnused(place, /is not used: other users may write there/);
    },
  );

  it.runIf(isRoot).each(['entrypoint', 'etc'])(
    'that is another user’s (%s) is not used',
    { timeout: 60_000 },
    async (place) => {
      await chown(join(folder, place), 1_000, 0);
      await expectUnused(place, /is not used: it belongs to the user 1000/);
    },
  );

  it.runIf(isRoot)(
    'that another group may write in is not used; root’s group may',
    { timeout: 60_000 },
    async () => {
      await chmod(join(folder, 'entrypoint'), 0o775);
      expect((await readAll())['lock']?.says).toBe('"held"');
      await chown(join(folder, 'entrypoint'), 0, 1_000);
      await rm(join(folder, 'entrypoint/lock-owner.json'));
      await expectUnused('entrypoint', /is not used: other users may write there/);
    },
  );

  it('that is a file costs the lock and the status, and is no defect', { timeout: 60_000 }, async () => {
    await rm(join(folder, 'entrypoint'), { recursive: true });
    await writeFile(join(folder, 'entrypoint'), '');
    const answers = await readAll();
    expect(answers['lock']?.says).toMatch(
      /HostFolderUnwritableError: cannot write .*there is a file where a folder should be/,
    );
    expect(answers['status']?.says).toMatch(/there is a file in its place/);
  });
});
