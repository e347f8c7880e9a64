import { EntrypointError, ExitCode, TryAgainLaterError, systemCodeOf } from '../support/errors.ts';

/** The errors of a file system that cannot be written. Any other error (EIO, ENOTDIR, …) is a different fault. */
const unwritable = new Set(['EROFS', 'EACCES', 'EPERM', 'ENOSPC', 'EDQUOT']);

/**
 * A folder on the host cannot be written. The caller may continue without its file: the name of the worker's container is
 * the outer lock, and the terminal shows what the status file would contain.
 */
export class HostFolderUnwritableError extends EntrypointError {
  readonly code = 'host-folder-unwritable';
  readonly exitCode = ExitCode.cannotChange;
  readonly path: string;
  /** `EROFS`, `EACCES`, `EPERM`, `ENOSPC` or `EDQUOT`. */
  readonly systemCode: string;

  constructor(path: string, systemCode: string, cause: unknown) {
    super(`cannot write ${path}: ${reasonFor(systemCode)}`, {
      cause,
      hint:
        systemCode === 'ENOSPC' || systemCode === 'EDQUOT'
          ? 'free space or inodes on the file system of that folder'
          : 'mount the folder of the host writable, e.g. -v /var/lib/rancher:/var/lib/rancher',
    });
    this.path = path;
    this.systemCode = systemCode;
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
  return code !== undefined && unwritable.has(code)
    ? new HostFolderUnwritableError(path, code, error)
    : error;
}

function reasonFor(systemCode: string): string {
  if (systemCode === 'EROFS') return 'read-only file system';
  if (systemCode === 'ENOSPC') return 'no space or no inodes left';
  if (systemCode === 'EDQUOT') return 'disk quota exceeded';
  return `permission denied (${systemCode})`;
}

/** What a person can do about a disk that does not answer. @param disk e.g. `the disk of the Docker root` */
export function diskHint(disk: string): string {
  return `look at ${disk}: dmesg -T | tail -50`;
}

/** The disk of `/var/lib/rancher`, or of the Docker root, does not answer: no work was started. */
export class StorageSilentError extends TryAgainLaterError {
  override readonly code = 'disk-unresponsive';
}

/** There is too little room for a change: no work was started, and the running containers are fine. */
export class StorageLowError extends TryAgainLaterError {
  override readonly code = 'storage-low';
}
