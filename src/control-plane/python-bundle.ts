import type { Stats } from 'node:fs';
import { createFileAtomically, writeFileAtomically, type FileOwnership } from '../host/files/files.ts';
import { readSmallFile } from '../host/files/read.ts';
import { messageOf } from '../support/errors.ts';
import type { Log } from '../support/log.ts';
import { rereadCaFile } from './trust-store.ts';

/** Text around a certificate is not read by anybody, so these lines say which certificates are ours. */
const begin = '# added by rancher-agent-entrypoint from /var/lib/rancher/etc/ssl/ca.crt';
const end = '# end of what rancher-agent-entrypoint added';

/** The certificates that the websocket of the Python agent trusts; it has no setting for others (contract §5). */
export function pythonBundleOf(cattleHome: string): string {
  return `${cattleHome}/pyagent/dist/websocket/cacert.pem`;
}

export interface BundleRequest {
  readonly log: Log;
  readonly bundle: string;
  /** `/var/lib/rancher/etc/ssl/ca.crt`. */
  readonly caFile: string;
  /** ms, for each file. */
  readonly deadlineMs: number;
}

/**
 * Adds the authority of `ca.crt` to the bundle of the Python agent, exactly once; the bundle as it came is kept as `.orig`. The
 * agent brings a new bundle with each of its versions, so this is repeated before each run. Without a bundle, or without
 * `ca.crt`, there is nothing to do. A failure is logged, because the agent may do without.
 */
export async function trustInPythonAgent({ log, bundle, caFile, deadlineMs }: BundleRequest): Promise<void> {
  try {
    let found: FileOwnership = { mode: 0o644 };
    const onOpen = async (_file: unknown, { mode, uid, gid }: Stats): Promise<void> => {
      found = { mode: mode & 0o7777, uid, gid };
      return Promise.resolve();
    };
    const text = await readSmallFile(bundle, { deadlineMs, onOpen });
    if (text === undefined) return;
    const authority = await rereadCaFile(caFile, deadlineMs);
    if (authority === undefined) return;
    const wanted = withAuthority(text, authority);
    if (wanted === text) return;
    await createFileAtomically(`${bundle}.orig`, withoutOurs(text), found);
    await writeFileAtomically(bundle, wanted, found);
    log.info('the certificate in ca.crt was added to those that the Python agent trusts', { bundle });
  } catch (error) {
    log.warn('could not add the certificate in ca.crt to those that the Python agent trusts', {
      error: messageOf(error),
    });
  }
}

/** Pure: the bundle with this authority once; one that the legacy entrypoint added counts. */
export function withAuthority(bundle: string, authority: string): string {
  const original = withoutOurs(bundle);
  const added = authority.trim();
  if (original.includes(added)) return original;
  const separator = original === '' || original.endsWith('\n') ? '' : '\n';
  return `${original}${separator}${begin}\n${added}\n${end}\n`;
}

function withoutOurs(bundle: string): string {
  const from = bundle.indexOf(`${begin}\n`);
  const to = bundle.indexOf(`${end}\n`, from);
  return from === -1 || to === -1 ? bundle : bundle.slice(0, from) + bundle.slice(to + end.length + 1);
}
