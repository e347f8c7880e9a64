import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/*
 * A folder of a unit test on a disk that can stop answering: a FUSE file system whose process is stopped. Every call
 * about it waits in the kernel until it answers again, as for an NFS server that is gone.
 */

/** Whether this machine can have one: it needs root, and bindfs. */
export const hasSilentFolders = process.getuid?.() === 0 && existsSync('/usr/bin/bindfs');

export interface SilentFolder {
  readonly path: string;
  readonly silence: () => void;
  /** The folder answers again, and everything that waited continues. */
  readonly speak: () => void;
}

/**
 * Does the work with such a folder, which answers at first, and takes it away. @param path of the folder; made if
 * missing
 */
export async function withSilentFolder<T>(
  path: string,
  work: (folder: SilentFolder) => Promise<T>,
): Promise<T> {
  const behind = `${path}.behind`;
  await mkdir(path, { recursive: true });
  await mkdir(behind);
  const server = spawn('bindfs', ['-f', '-o', 'allow_other', behind, path], { stdio: 'ignore' });
  const speak = (): void => {
    server.kill('SIGCONT');
  };
  try {
    for (let tries = 0; !readFileSync('/proc/self/mounts', 'utf8').includes(` ${path} `); tries += 1) {
      if (tries === 250) throw new Error(`bindfs does not mount ${path}`);
      await sleep(20);
    }
    const silence = (): void => {
      server.kill('SIGSTOP');
    };
    return await work({ path, silence, speak });
  } finally {
    speak();
    try {
      execFileSync('umount', ['--lazy', path]);
    } finally {
      server.kill('SIGTERM');
      await rm(behind, { recursive: true, force: true });
    }
  }
}
