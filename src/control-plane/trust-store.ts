import { rm } from 'node:fs/promises';
import { HostFolderUnsafeError } from '../host/errors.ts';
import { readSmallFile, type ReadOptions } from '../host/files/read.ts';
import { readOwnFile } from '../host/files/safe-folder.ts';
import { ConfigurationError, messageOf, systemCodeOf } from '../support/errors.ts';
import type { Log } from '../support/log.ts';
import { addToAgentConf, writeWithFolder } from './agent-conf.ts';
import { readFirstCertificate } from './certificates.ts';
import type { Trust } from './http/message.ts';

/** Where certificates and their settings are kept (contract §5). */
export interface TrustFiles {
  /** `/var/lib/rancher/etc/ssl/ca.crt`. */
  readonly caFile: string;
  /** `/var/lib/rancher/etc/agent.conf`. */
  readonly agentConf: string;
  /** `/usr/local/share/ca-certificates/rancher/rancherAddedCA.crt`, from which the system's store is built. */
  readonly systemCaFile: string;
}

/** Where a certificate is installed, besides the host's files. */
export interface TrustInstallation {
  readonly files: TrustFiles;
  /**
   * Runs `update-ca-certificates`; what it throws is logged, because our own client does not need it. Not given where
   * nothing but our own client runs.
   */
  readonly refreshSystemStore?: (() => Promise<void>) | undefined;
  /** Nothing is written, neither on the host nor here: on standby another agent still uses these files. */
  readonly readOnly?: boolean | undefined;
}

/** The trust that an agent of this host has, without asking anybody or writing anything. @throws ConfigurationError */
export async function readKeptTrust(caFile: string): Promise<Trust> {
  const kept = await readCaFile(caFile);
  return { ca: kept === undefined ? [] : [kept] };
}

/**
 * The certificates on the host now, for clients that live long; undefined without any that can be read.
 * @param deadlineMs a request waits for it, so a disk that does not answer must not keep it long
 */
export async function rereadCaFile(caFile: string, deadlineMs: number): Promise<string | undefined> {
  try {
    return await readCaFile(caFile, { deadlineMs });
  } catch {
    return undefined;
  }
}

interface CaReadOptions extends ReadOptions {
  /** The file lies where others may write: it is taken as missing. */
  readonly onUnsafe?: (error: HostFolderUnsafeError) => void;
}

/**
 * `ca.crt` of the host; undefined without the file.
 * @throws ConfigurationError when it cannot be read, or holds no certificate
 */
export async function readCaFile(file: string, options: CaReadOptions = {}): Promise<string | undefined> {
  try {
    const text = await readOwnFile(file, options);
    if (text === undefined) return undefined;
    if (readFirstCertificate(text) !== undefined) return text;
  } catch (error) {
    if (error instanceof HostFolderUnsafeError) {
      options.onUnsafe?.(error);
      return undefined;
    }
    if (systemCodeOf(error) === 'ENOTDIR') return undefined;
    throw new ConfigurationError(`${file} cannot be read`, {
      originalMessage: messageOf(error),
      cause: error,
    });
  }
  throw new ConfigurationError(`${file} holds no certificate`, {
    hint: 'put the certificate of the authority there in PEM, or remove the file',
  });
}

/** Makes the certificate known to everything in this container, so that the server's script and the agent trust it. */
export async function installTrust(log: Log, request: TrustInstallation, ca: string): Promise<void> {
  if (request.readOnly === true) return;
  await keepOnHost(log, request.files, ca);
  if (request.refreshSystemStore !== undefined)
    await addToSystem(log, request.files, request.refreshSystemStore, ca);
}

/**
 * The same for an agent that sends no request of its own before its first script, which was staged on standby.
 * @param where `container`: the tools of this container, which an agent on standby may change; `host`: what the
 * active one keeps
 */
export async function installKeptTrust(
  { log }: { readonly log: Log },
  files: TrustFiles,
  where: { readonly container: () => Promise<void> } | 'host',
): Promise<void> {
  await attempt(log, 'read the certificate that this host trusts', async () => {
    const kept = await readCaFile(files.caFile);
    if (kept === undefined) return;
    await (where === 'host' ? keepOnHost(log, files, kept) : addToSystem(log, files, where.container, kept));
  });
}

async function keepOnHost(log: Log, files: TrustFiles, ca: string): Promise<void> {
  const { caFile, agentConf } = files;
  await attempt(log, 'keep the certificate of the server', async () => {
    if ((await readCaFile(caFile)) !== ca) await writeWithFolder(caFile, ca);
    await addToAgentConf(agentConf, { CURL_CA_BUNDLE: caFile, REQUESTS_CA_BUNDLE: caFile });
  });
}

async function addToSystem(
  log: Log,
  { systemCaFile }: TrustFiles,
  refreshSystemStore: () => Promise<void>,
  ca: string,
): Promise<void> {
  await attempt(log, 'add the certificate of the server to those of the system', async () => {
    if ((await readSmallFile(systemCaFile)) === ca) return;
    await writeWithFolder(systemCaFile, ca);
    try {
      await refreshSystemStore();
    } catch (error) {
      // The file stands only beside a store that was built from it, so that the next start tries again.
      await rm(systemCaFile, { force: true });
      throw error;
    }
  });
}

/** A read-only disk must not keep the host from its server: our own client has the certificate in memory. */
async function attempt(log: Log, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.warn(`could not ${what}`, { error: messageOf(error) });
  }
}
