/**
 * A slot is a small number that belongs to one test host at a time, machine-wide. It decides the host's folder,
 * addresses and cgroup, so that hosts of several test processes never meet.
 *
 * A slot is held by binding an abstract unix socket: atomic, and given back by the kernel however its holder dies. So a
 * folder whose slot can be claimed is the leftover of a dead owner, and nobody has to look at process ids.
 */
import { execFile } from 'node:child_process';
import { mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Short, because the path of a unix socket may have at most 107 bytes. */
const HOSTS_FOLDER = '/tmp/rah';
const CGROUP_FOLDER = '/sys/fs/cgroup';
const LAST_SLOT = 250;

export interface HostSlot {
  readonly number: number;
  readonly dir: string;
  /** Relative to the root of every cgroup hierarchy. */
  readonly cgroup: string;
  release: () => Promise<void>;
}

/**
 * Takes a machine-wide name until `release` is called or this process ends.
 *
 * @returns the function that gives the name back, or undefined while somebody else holds it
 */
export function claimName(name: string): Promise<(() => Promise<void>) | undefined> {
  const server = createServer((socket) => socket.destroy());
  server.unref();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen({ path: `\0rah-${name}` }, () =>
      resolve(() => new Promise<void>((closed) => server.close(() => closed()))),
    );
  });
}

/** Claims the first free slot, with an empty folder of its own. */
export async function claimSlot(): Promise<HostSlot> {
  for (let number = 1; number <= LAST_SLOT; number += 1) {
    const release = await claimName(slotName(number));
    if (!release) continue;
    await removeLeftovers(number);
    await mkdir(slotFolder(number), { recursive: true, mode: 0o755 });
    return { number, dir: slotFolder(number), cgroup: slotCgroup(number), release };
  }
  throw new Error(`all ${LAST_SLOT} slots for test hosts are taken`);
}

/** Removes the folders and cgroups of hosts whose owner is dead. */
export async function sweepDeadHosts(): Promise<void> {
  for (const entry of await readdir(HOSTS_FOLDER).catch(() => [])) {
    const number = Number(/^h(\d+)$/.exec(entry)?.[1]);
    if (!number) continue;
    const release = await claimName(slotName(number));
    if (!release) continue;
    await removeLeftovers(number);
    await release();
  }
}

/** Removes a folder, also where a test made files immutable. */
export async function removeFolder(dir: string): Promise<void> {
  try {
    await rm(dir, { recursive: true, force: true });
  } catch {
    await run('chattr', ['-R', '-f', '-i', dir]).catch(() => undefined);
    await rm(dir, { recursive: true, force: true });
  }
}

/** Removes the host's cgroups from every hierarchy; its processes must be dead. */
export async function removeCgroups(cgroup: string): Promise<void> {
  const hierarchies = await readdir(CGROUP_FOLDER, { withFileTypes: true }).catch(() => []);
  const roots = [
    CGROUP_FOLDER,
    ...hierarchies.filter((it) => it.isDirectory()).map((it) => join(CGROUP_FOLDER, it.name)),
  ];
  await Promise.all(roots.map((root) => removeCgroupTree(join(root, cgroup))));
}

async function removeCgroupTree(dir: string): Promise<void> {
  const children = await readdir(dir, { withFileTypes: true }).catch(() => []);
  for (const child of children) if (child.isDirectory()) await removeCgroupTree(join(dir, child.name));
  // A killed process leaves its cgroup a moment after it was reaped; a later sweep takes what is left.
  await rmdir(dir).catch(() => undefined);
}

async function removeLeftovers(number: number): Promise<void> {
  await removeFolder(slotFolder(number));
  await removeCgroups(slotCgroup(number));
}

function slotName(number: number): string {
  return `host-${number}`;
}

function slotFolder(number: number): string {
  return join(HOSTS_FOLDER, `h${number}`);
}

function slotCgroup(number: number): string {
  return `rah/h${number}`;
}
