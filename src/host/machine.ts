import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Paths } from '../support/configuration.ts';
import { makeFolder, writeFileAtomically } from './files/files.ts';
import { readKernelText, readSmallFile } from './files/read.ts';
import { readOwnFile } from './files/safe-folder.ts';
import { readRegistrationKey } from './identity.ts';
import { seesHostMounts } from './mounts/namespace.ts';
import { resolveInRoot } from './mounts/root.ts';

/*
 * A disk that is copied takes the host key along, and then two machines are one host for the server. So the host keeps which machine
 * its key belongs to: as hashes, because a machine's number is nobody's business.
 */

/** Hashes of what tells machines apart; what this machine does not have is left out. */
export interface MachineId {
  /** Of the number that firmware or hypervisor gives each machine. */
  readonly hardware?: string;
  /** Of `/etc/machine-id`, which a copy of the disk has as well unless somebody changes it. */
  readonly system?: string;
}

/** Whether the host key was kept on this machine. */
export type MachineReading =
  | { readonly kind: 'same' }
  /** The key was kept on another machine. */
  | { readonly kind: 'other'; readonly since: string }
  /** Nothing is kept for this key, or nothing tells machines apart here. */
  | { readonly kind: 'unknown' };

const version = 1;
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/));
const schema = v.object({
  version: v.literal(version),
  since: v.pipe(v.string(), v.isoTimestamp()),
  /** Hash of the host key: a new key starts a new record. */
  key: hash,
  hardware: v.exactOptional(hash),
  system: v.exactOptional(hash),
});

export function machineFileOf(paths: Paths): string {
  return join(paths.entrypoint, 'machine.json');
}

/**
 * Pure: compares by the hardware where both have a number of it, else by the system. Nothing in common says nothing.
 */
export function isOtherMachine(kept: MachineId, here: MachineId): boolean {
  if (kept.hardware !== undefined && here.hardware !== undefined) return kept.hardware !== here.hardware;
  return kept.system !== undefined && here.system !== undefined && kept.system !== here.system;
}

/**
 * Whether the host key was kept on this machine.
 * @param deadlineMs for each file
 * @throws ConfigurationError for a damaged host key; DeadlineError; system errors other than ENOENT as they are
 */
export async function readMachine(paths: Paths, folder: Paths, deadlineMs: number): Promise<MachineReading> {
  const kept = await readKept(folder, deadlineMs);
  if (kept === undefined || kept.key !== (await hashKey(folder))) return { kind: 'unknown' };
  const here = await findMachineId(paths, deadlineMs);
  if (isOtherMachine(kept, here)) return { kind: 'other', since: kept.since };
  return { kind: here.hardware === undefined && here.system === undefined ? 'unknown' : 'same' };
}

/**
 * Keeps that the host key belongs to this machine, if nothing is kept for this key yet.
 * @param now ms since 1970
 * @returns what was kept before
 * @throws as `readMachine`; HostFolderUnwritableError when nothing can be written there
 */
export async function keepMachine(paths: Paths, now: number, deadlineMs: number): Promise<MachineReading> {
  const key = await hashKey(paths);
  if (key === undefined) return { kind: 'unknown' };
  const kept = await readKept(paths, deadlineMs);
  if (kept?.key === key) return readMachine(paths, paths, deadlineMs);
  const here = await findMachineId(paths, deadlineMs);
  if (here.hardware === undefined && here.system === undefined) return { kind: 'unknown' };
  await makeFolder(paths.entrypoint);
  const record = { version, since: new Date(now).toISOString(), key, ...here };
  await writeFileAtomically(machineFileOf(paths), `${JSON.stringify(record, undefined, 2)}\n`, {
    mode: 0o600,
  });
  return { kind: 'same' };
}

/** A damaged record counts as none: the next agent that starts writes it again. */
async function readKept(paths: Paths, deadlineMs: number): Promise<v.InferOutput<typeof schema> | undefined> {
  const text = await readOwnFile(machineFileOf(paths), { deadlineMs });
  try {
    const parsed = v.safeParse(schema, JSON.parse(text ?? ''));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

async function hashKey(paths: Paths): Promise<string | undefined> {
  const key = await readRegistrationKey(paths);
  return key === undefined ? undefined : hashOf(key.toLowerCase());
}

/** Read in the root of the host, which shows the host's files only where its processes can be seen. */
async function findMachineId(paths: Paths, deadlineMs: number): Promise<MachineId> {
  if (!(await seesHostMounts(paths))) return {};
  const root = `${paths.proc}/1/root`;
  const [hardware, system] = await Promise.all([
    readKernelText(await resolveInRoot(root, '/sys/class/dmi/id/product_uuid')).catch(() => ''),
    readSmallFile(await resolveInRoot(root, '/etc/machine-id'), { deadlineMs }).catch(() => ''),
  ]);
  const number = sameInBothOrders(hardware);
  const name = (system ?? '').trim();
  return {
    ...(number === '' ? {} : { hardware: hashOf(number) }),
    ...(name === '' ? {} : { system: hashOf(name) }),
  };
}

/**
 * Kernels before 4.2 show the first three groups of the number with their bytes the other way round. After an upgrade of the kernel
 * it must not be another machine, so of both forms the smaller one counts.
 */
function sameInBothOrders(text: string): string {
  const number = text.trim().toLowerCase();
  const groups = number.split('-');
  const turned = groups.map((group, index) =>
    index < 3 ? (group.match(/../g) ?? []).reverse().join('') : group,
  );
  const other = turned.join('-');
  return other < number ? other : number;
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
