import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { ConfigurationError, InterruptedError, messageOf, systemCodeOf } from '../support/errors.ts';
import type { Paths, ProfileName } from '../support/configuration.ts';
import { InspectionError } from './errors.ts';
import { makeFolders } from './files/files.ts';
import { ensureRegistrationKey, makeRegistrationKey, readRegistrationKey } from './identity.ts';
import { resolveInRoot } from './mounts/root.ts';

/** What the server and the agent's container learn about the host (contract §2). */
export interface HostFacts {
  /** The host's identity; a secret. */
  readonly registrationKey: string;
  readonly boot2docker: boolean;
  /** Whether the key is kept for the next registration; without that, each one makes another host. */
  readonly isKeyKept: boolean;
  /** Whether `/var/lib/rancher` is to be mounted into the agent, or a volume in its place. */
  readonly varLibWritable: boolean;
  readonly rancherOs: boolean;
  readonly systemd: boolean;
}

export interface InspectionOptions {
  readonly paths: Paths;
  /** `OperatingSystem` of the engine's info; the host's files are read while the engine is asked. */
  readonly operatingSystem: string | Promise<string>;
  readonly randomBytes: (size: number) => Buffer;
}

/** Only these errors mean that a folder is not meant to be written; ENOSPC or EIO mean that the host is unhealthy. */
const notWritable = new Set(['EROFS', 'EACCES', 'EPERM']);

/**
 * Inspects the host. If the inspection fails, the command exits. The legacy entrypoint ignored such a failure and took the
 * folder for not writable, and the host got a second identity (incident §2.7).
 * @throws ConfigurationError when the registration key is damaged; InterruptedError; InspectionError for everything else (disk full,
 * I/O error, …)
 */
export async function inspectHost(options: InspectionOptions): Promise<HostFacts> {
  try {
    return await lookAtHost(options);
  } catch (error) {
    // A signal arrives as an error of the request to the engine.
    if (error instanceof ConfigurationError || error instanceof InterruptedError) throw error;
    throw new InspectionError(`this host could not be inspected: ${messageOf(error)}`, {
      cause: error,
      hint: `nothing was changed: repair the file system of ${options.paths.rancher}, then try again`,
    });
  }
}

async function lookAtHost(options: InspectionOptions): Promise<HostFacts> {
  const { paths } = options;
  const [operatingSystem, identity, rancherOs, systemd] = await Promise.all([
    options.operatingSystem,
    findIdentity(options),
    existsOnHost(paths, '/var/run/system-docker.sock'),
    existsOnHost(paths, '/run/systemd/system'),
  ]);
  const { registrationKey, stateWritable, isKeyKept } = identity;
  const boot2docker = operatingSystem.toLowerCase().includes('boot2docker');
  const varLibWritable = stateWritable && !boot2docker;
  return { registrationKey, isKeyKept, boot2docker, varLibWritable, rancherOs, systemd };
}

/**
 * The host's registration key, created if there is none, and whether it could be written: otherwise it serves for one
 * registration only.
 */
async function findIdentity({
  paths,
  randomBytes,
}: InspectionOptions): Promise<
  Pick<HostFacts, 'registrationKey' | 'isKeyKept'> & { readonly stateWritable: boolean }
> {
  const stateWritable = await canMakeFolder(paths.state);
  const kept = stateWritable
    ? await ensureRegistrationKey(paths, randomBytes)
    : await readRegistrationKey(paths);
  const registrationKey = kept ?? makeRegistrationKey(randomBytes);
  return { registrationKey, stateWritable, isKeyKept: kept !== undefined };
}

/** The lines that `inspect-host` prints on stdout, in the order of contract §2. */
export function renderInspection(facts: HostFacts, profile: ProfileName): readonly string[] {
  const variables: [string, string | boolean][] = [
    ['TOKEN', facts.registrationKey],
    ['CATTLE_BOOT2DOCKER', facts.boot2docker],
    ['CATTLE_VAR_LIB_WRITABLE', facts.varLibWritable],
  ];
  if (profile === 'rancher-1.0') {
    variables.push(['CATTLE_RANCHEROS', facts.rancherOs], ['CATTLE_SYSTEMD', facts.systemd]);
  }
  return variables.map(([name, value]) => `INFO: env "${name}=${value}"`);
}

/** Creates the folder if it is missing, and reports whether it can be written; throws if the answer is not clear. */
async function canMakeFolder(path: string): Promise<boolean> {
  try {
    await makeFolders(path);
    // `mkdir` succeeds for a folder that exists on a read-only file system.
    await access(path, constants.W_OK);
    return true;
  } catch (error) {
    const code = systemCodeOf(error);
    if (code !== undefined && notWritable.has(code)) return false;
    throw error;
  }
}

/** Searches in our own root, where `inspect-host` has the host's folders mounted, and in that of the host's init. */
async function existsOnHost(paths: Paths, path: string): Promise<boolean> {
  return (await exists(path)) || (await exists(await resolveInRoot(`${paths.proc}/1/root`, path)));
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}
