/** A machine with a Docker client and busybox, and nothing else: a root folder of its own, entered by pivot_root. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CLIENT = '/usr/bin/docker';
/** Enough to install the packages of Debian and npm on a machine under load. */
const COMMAND_DEADLINE_MS = 12 * 60_000;
const ENTER = `
  mount --bind "$1" "$1"
  mount --bind "$2" "$1/var/run/docker.sock"
  mount --bind /dev "$1/dev"
  cd "$1"
  pivot_root . .outside
  /bin/busybox umount -l /.outside
  cd /project
  exec /bin/busybox env -i PATH=/bin HOME=/ /bin/sh -euc "$3"`;

/** Makes the root in an empty folder. The project belongs into `project` below it. */
export async function makeBareMachine(root: string): Promise<void> {
  for (const name of ['bin', 'dev', 'tmp', 'project', '.outside', 'var/run'])
    await mkdir(join(root, name), { recursive: true });
  await writeFile(join(root, 'var/run/docker.sock'), '');
  await copyFile('/usr/bin/busybox', join(root, 'bin/busybox'));
  const { stdout: applets } = await run('/usr/bin/busybox', ['--list']);
  for (const name of applets.trim().split('\n'))
    if (name !== 'busybox') await symlink('busybox', join(root, 'bin', name));
  await copyFile(CLIENT, join(root, 'bin/docker'));
  const { stdout: libraries } = await run('ldd', [CLIENT]);
  for (const [file] of libraries.matchAll(/\/[^ ]+/g)) {
    await mkdir(dirname(join(root, file)), { recursive: true });
    await copyFile(file, join(root, file));
  }
}

/**
 * Runs a command of busybox's shell in the project's folder of the machine.
 *
 * @param socket of the engine, which is /var/run/docker.sock in there
 * @returns what it prints @throws with its error output
 */
export async function runInBareMachine(root: string, socket: string, command: string): Promise<string> {
  const args = ['--mount', '--propagation', 'private', 'bash', '-euc', ENTER, 'bash', root, socket, command];
  const options = { timeout: COMMAND_DEADLINE_MS, maxBuffer: 16 * 1024 * 1024 };
  const { stdout } = await run('unshare', args, options);
  return stdout.trim();
}
