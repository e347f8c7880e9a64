import { EntrypointError, ExitCode, TryAgainLaterError, systemCodeOf } from '../support/errors.ts';

/** The errors of a place that cannot be written, each with its reason. Any other error is a different fault. */
const unwritable: Readonly<Record<string, string>> = {
  EROFS: 'read-only file system',
  EACCES: 'permission denied (EACCES)',
  EPERM: 'permission denied (EPERM)',
  ENOSPC: 'no space or no inodes left',
  EDQUOT: 'disk quota exceeded',
  ENOTDIR: 'there is a file where a folder should be',
  EISDIR: 'there is a folder where a file should be',
  ELOOP: 'there is a symbolic link, which is not followed',
  EIO: 'the disk reports an input/output error',
};

/** What to do, where it is not about mounting the folder. */
const unwritableHints: Readonly<Record<string, string>> = {
  ENOSPC: 'free space or inodes on the file system of that folder',
  EDQUOT: 'free space or inodes on the file system of that folder',
  ENOTDIR: 'move that file away',
  EISDIR: 'move that folder away',
  ELOOP: 'replace the link by what it points to',
  EIO: 'look at the disk of that folder: dmesg -T | tail -50',
};

/**
 * A folder on the host cannot be written. The caller may continue without its file: the name of the worker's container is
 * the outer lock, and the terminal shows what the status file would contain.
 */
export class HostFolderUnwritableError extends EntrypointError {
  readonly code = 'host-folder-unwritable';
  readonly exitCode = ExitCode.cannotChange;
  readonly path: string;
  /** `EROFS`, `EACCES`, `ENOSPC`, …; `unsafe` for a folder that can be written, and not by us alone. */
  readonly systemCode: string;

  constructor(
    path: string,
    systemCode: string,
    cause: unknown,
    words: { readonly message?: string; readonly hint?: string } = {},
  ) {
    super(words.message ?? `cannot write ${path}: ${unwritable[systemCode] ?? systemCode}`, {
      cause,
      hint:
        words.hint ??
        unwritableHints[systemCode] ??
        'mount the folder of the host writable, e.g. -v /var/lib/rancher:/var/lib/rancher',
    });
    this.path = path;
    this.systemCode = systemCode;
  }
}

/** A folder on the host in which somebody else may put files: nothing is read from it or written to it. */
export class HostFolderUnsafeError extends HostFolderUnwritableError {
  constructor(path: string, fault: string) {
    super(path, 'unsafe', undefined, {
      message: `${path} is not used: ${fault}`,
      hint: `make it a folder of root in which nobody else may write: chown root:root ${path}; chmod 755 ${path}`,
    });
  }
}

/**
 * The host could not be inspected. The command exits before it touches anything: the legacy entrypoint took such a host for
 * "not writable", and the host got a second identity (incident §2.7).
 */
export class InspectionError extends EntrypointError {
  readonly code = 'inspection-failed';
  readonly exitCode = ExitCode.cannotChange;
}

/** This image has no bash, and the server's script needs one. */
export class NoBashError extends EntrypointError {
  readonly code = 'no-bash';
  readonly exitCode = ExitCode.cannotChange;

  constructor(cause: unknown) {
    super('there is no bash in this image', {
      cause,
      hint: 'build the image from a base that has bash, or have the server require another image',
    });
  }
}

/** The error itself, or a HostFolderUnwritableError around it if it says that `path` cannot be written. */
export function explainWriteError(path: string, error: unknown): unknown {
  const code = systemCodeOf(error);
  return code !== undefined && Object.hasOwn(unwritable, code)
    ? new HostFolderUnwritableError(path, code, error)
    : error;
}

/** What a person can do about a disk that does not answer. @param disk e.g. `the disk of the Docker root` */
export function diskHint(disk: string): string {
  return `look at ${disk}: dmesg -T | tail -50`;
}

/** The disk of `/var/lib/rancher`, or of the Docker root, does not answer: no work was started. */
export class DiskUnresponsiveError extends TryAgainLaterError {
  override readonly code = 'disk-unresponsive';
}

/** There is too little room for a change: no work was started, and the running containers are fine. */
export class StorageLowError extends TryAgainLaterError {
  override readonly code = 'storage-low';
}
