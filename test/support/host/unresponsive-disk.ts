/** A folder of a test host on a disk that can stop answering: a FUSE file system whose process is frozen. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { enterHost, listHostProcesses, stopProcess } from './host-namespaces.ts';
import type { TestHost } from './test-host.ts';

const run = promisify(execFile);

export interface UnresponsiveDisk {
  /** From now on every call about the folder waits, as for a disk that is gone. */
  silence: () => Promise<void>;
  /** The disk answers again, also what has waited. */
  speak: () => void;
  /** The folder is as it was before. */
  unmount: () => Promise<void>;
}

/** Puts the folder, with what is in it, onto such a disk. @param path as the host sees it */
export async function mountUnresponsiveDisk(host: TestHost, path: string): Promise<UnresponsiveDisk> {
  const inHost = async (...command: readonly string[]): Promise<unknown> =>
    run('nsenter', [...enterHost(host.initPid), ...command]);
  // The folder behind it has another path: newer versions of bindfs use the path, and would wait for themselves. Older
  // versions require an empty folder.
  const behind = `/run/behind${path.replaceAll('/', '-')}`;
  await inHost('mkdir', '-p', path, behind, `${behind}.empty`);
  await inHost('mount', '--bind', path, behind);
  await inHost('mount', '--bind', `${behind}.empty`, path);
  await inHost('bindfs', '-o', 'allow_other,dev,suid', behind, path);
  const processes = await listHostProcesses(host.initPid);
  const pid = processes.find(({ command }) => command[0] === 'bindfs' && command.at(-1) === path)?.pid;
  if (pid === undefined) throw new Error(`bindfs of ${path} is not running`);
  const speak = (): void => {
    process.kill(pid, 'SIGCONT');
  };
  return {
    silence: async () => stopProcess(pid),
    speak,
    unmount: async () => {
      speak();
      await inHost('umount', '--lazy', path);
      await inHost('umount', '--lazy', path, behind);
    },
  };
}
