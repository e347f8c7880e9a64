import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
/** What scripts/lib/setup.sh calls before it installs anything; apt-get and npm are not among them. */
const COMMANDS = ['bash', 'basename', 'dirname', 'id', 'paste', 'sed', 'sort', 'tr', 'uname'];
let bin: string;

beforeAll(async () => {
  bin = await mkdtemp(join(tmpdir(), 'rah-setup-'));
  for (const name of COMMANDS) await symlink(join('/usr/bin', name), join(bin, name));
});
afterAll(() => rm(bin, { recursive: true, force: true }));

interface Ending {
  readonly status: number;
  readonly lines: readonly string[];
}

/** Sets up with nothing but the commands of `bin`. */
function setUp(what: string, path = bin): Promise<Ending> {
  const command = ['--norc', '-euc', '. scripts/lib/setup.sh; setup "$1"', 'demo', what];
  return new Promise((resolve) => {
    const child = execFile(
      '/usr/bin/bash',
      command,
      { cwd: ROOT, env: { PATH: path } },
      (_error, out, err) => {
        resolve({ status: child.exitCode ?? -1, lines: `${out}${err}`.split('\n').filter(Boolean) });
      },
    );
  });
}

it('a system without apt gets one line with its name and the packages to install', async () => {
  const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1] ?? '';
  expect(await setUp('node')).toEqual({
    status: 69,
    lines: [
      `demo: installs packages of Debian 12 and 13 only, and this is ${name}; install these yourself: ca-certificates npm`,
    ],
  });
});

it.each([
  ['Darwin', 'arm64'],
  ['Linux', 'riscv64'],
])('a machine that has no pinned Node (%s on %s) gets one line that says so', async (system, processor) => {
  const own = await mkdtemp(join(tmpdir(), 'rah-setup-'));
  await writeFile(
    join(own, 'uname'),
    `#!/usr/bin/bash\n[ "$1" = -s ] && echo ${system} || echo ${processor}\n`,
  );
  await chmod(join(own, 'uname'), 0o755);
  try {
    expect(await setUp('node', `${own}:${bin}`)).toEqual({
      status: 69,
      lines: [`demo: needs Linux on x86_64 or aarch64, and this is ${system} on ${processor}`],
    });
  } finally {
    await rm(own, { recursive: true, force: true });
  }
});

it('somebody who is not root gets one line that says what to try', async () => {
  const own = await mkdtemp(join(tmpdir(), 'rah-setup-'));
  await writeFile(join(own, 'id'), '#!/usr/bin/bash\necho 1000\n');
  await chmod(join(own, 'id'), 0o755);
  try {
    expect(await setUp('engine', `${own}:${bin}`)).toEqual({
      status: 77,
      lines: ['demo: only root can start a private Docker engine; try: sudo demo'],
    });
  } finally {
    await rm(own, { recursive: true, force: true });
  }
});
