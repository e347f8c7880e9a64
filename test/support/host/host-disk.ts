/** The data root of a test host: filled from a template, optionally on a small file system that a test can fill up. */
import { execFile } from 'node:child_process';
import { mkdir, open, readdir, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MIB = 1024 * 1024;

export interface SmallDisk {
  /** Free space beyond the images. */
  mib: number;
  /** Free inodes beyond the images; without it there are plenty. */
  inodes?: number;
}

/**
 * Puts a template's images into an empty data root. Layer files are hard links where both are on one file system:
 * layers are never written to, containers write to their own upper directory.
 */
export async function copyTemplate(template: string, dataRoot: string): Promise<void> {
  await mkdir(dataRoot, { recursive: true });
  for (const part of await readdir(template)) {
    if (!(part === 'overlay2' && (await canLink(template, dataRoot)))) {
      await run('cp', ['-a', join(template, part), dataRoot]);
      continue;
    }
    await run('cp', ['-al', join(template, part), dataRoot]);
  }
}

/** Makes `file` an ext4 file system with room for the template and what `disk` asks for. */
export async function makeDisk(file: string, template: string | undefined, disk: SmallDisk): Promise<void> {
  const used = template === undefined ? { bytes: 0, inodes: 0 } : await measureFolder(template);
  const inodes = disk.inodes === undefined ? 65_536 + used.inodes : disk.inodes + used.inodes + ENGINE_INODES;
  // An inode takes 256 bytes, and ext4 reserves some space.
  const bytes = Math.ceil((used.bytes + disk.mib * MIB + inodes * 256) * 1.03) + 8 * MIB;
  await writeFile(file, '');
  await truncate(file, bytes);
  await run('mkfs.ext4', ['-q', '-F', '-m', '0', '-O', '^has_journal', '-N', String(inodes), file]);
}

/** About as many as dockerd itself creates in an empty data root. */
const ENGINE_INODES = 200;

/** Takes every free byte of a file system. */
export async function fillDisk(dir: string): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  const filler = await open(join(dir, 'filler-bytes'), 'a');
  try {
    await run('fallocate', ['-l', String(Math.max(bavail - 16, 1) * bsize), join(dir, 'filler-bytes')]).catch(
      ignoreFull,
    );
    const { size } = await filler.stat();
    const block = Buffer.alloc(bsize, 1);
    for (let position = size; ; position += bsize) await filler.write(block, 0, bsize, position);
  } catch (error) {
    ignoreFull(error);
  } finally {
    await filler.close();
  }
}

/** Takes every free inode of a file system. */
export async function fillInodes(dir: string): Promise<void> {
  const folder = join(dir, 'filler-inodes');
  await mkdir(folder, { recursive: true });
  try {
    for (let n = 0; ; n += 1) await writeFile(join(folder, String(n)), '', { flag: 'wx' });
  } catch (error) {
    ignoreFull(error);
  }
}

/** Gives back what the two above took. */
export async function freeDisk(dir: string): Promise<void> {
  await rm(join(dir, 'filler-bytes'), { force: true });
  await rm(join(dir, 'filler-inodes'), { recursive: true, force: true });
}

async function canLink(from: string, to: string): Promise<boolean> {
  const { stdout } = await run('stat', ['-c', '%d', from, to]);
  return new Set(stdout.trim().split('\n')).size === 1;
}

async function measureFolder(dir: string): Promise<{ bytes: number; inodes: number }> {
  const [bytes, inodes] = await Promise.all([
    run('du', ['-s', '-B1', dir]),
    run('du', ['-s', '--inodes', dir]),
  ]);
  return { bytes: parseInt(bytes.stdout, 10), inodes: parseInt(inodes.stdout, 10) };
}

function ignoreFull(error: unknown): void {
  const full = error instanceof Error && /ENOSPC|No space left/.test(error.message);
  if (!full) throw error;
}
