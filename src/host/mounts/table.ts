/** One line of `/proc/<pid>/mountinfo` (proc(5)), as far as this program needs it. */
export interface Mount {
  /** `major:minor` of the file system. */
  readonly device: string;
  /** The folder inside that file system which is mounted. */
  readonly root: string;
  readonly mountPoint: string;
  /** Whether mounts below it propagate to its peers. */
  readonly shared: boolean;
  readonly source: string;
}

/** Parses mountinfo; lines that are not understood are left out. Order, and so what covers what, is kept. */
export function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => parseLine(line) ?? []);
}

/** The mount one sees at exactly this path: the last one mounted there. */
export function findMount(mounts: readonly Mount[], mountPoint: string): Mount | undefined {
  return mounts.findLast((mount) => mount.mountPoint === mountPoint);
}

function parseLine(line: string): Mount | undefined {
  const fields = line.split(' ');
  const separator = fields.indexOf('-', 6);
  const [, , device, root, mountPoint] = fields;
  if (separator === -1 || device === undefined || root === undefined || mountPoint === undefined)
    return undefined;
  return {
    device,
    root: unescape(root),
    mountPoint: unescape(mountPoint),
    shared: fields.slice(6, separator).some((field) => field.startsWith('shared:')),
    source: unescape(fields[separator + 2] ?? ''),
  };
}

/** Blank, tab, newline and backslash are written as `\040` and so on; bytes, not characters, hence latin1. */
function unescape(text: string): string {
  if (!text.includes('\\')) return text;
  const bytes = Buffer.from(text, 'utf8').toString('latin1');
  const plain = bytes.replace(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8) & 0xff),
  );
  return Buffer.from(plain, 'latin1').toString('utf8');
}
