import { createHttpClient } from './http/client.ts';
import type { Credentials, HttpClient, Trust } from './http/message.ts';
import type { Connection } from './http/connection.ts';
import { installKeptTrust, rereadCaFile } from './trust-store.ts';
import { establishTrust, type TrustRequest } from './trust.ts';
import { runCommand } from '../host/processes.ts';
import type { Clock } from '../support/clock.ts';
import { readTlsTrust, type Configuration, type Environment, type Paths } from '../support/configuration.ts';
import { DeadlineError, withDeadline } from '../support/deadline.ts';
import { ConfigurationError } from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Log } from '../support/log.ts';
import type { Secrets } from '../support/secrets.ts';

/** What it takes to talk to the server. */
export interface ServerAccess {
  readonly configuration: Configuration;
  readonly clock: Clock;
  readonly log: Log;
  readonly secrets: Secrets;
  readonly signal: AbortSignal;
}

/** A connection, and whose certificates it trusts besides the well-known ones. */
export interface TrustedConnection extends Connection {
  readonly trust: Trust;
}

/**
 * Finds out whose certificates to trust and opens the connection to the server (contract §5).
 * @param url an address of the server
 * @param tools whether other programs of this container talk to the server as well and shall trust it
 * @param readOnly nothing is written anywhere: for an agent on standby, beside the active one
 */
export async function openConnection(
  access: ServerAccess,
  url: string,
  { tools, readOnly }: { readonly tools: boolean; readonly readOnly?: boolean } = { tools: true },
): Promise<TrustedConnection> {
  const { configuration, clock, log, secrets, signal } = access;
  const { limits, environment, paths } = configuration;
  const createClient = (trust: Trust): HttpClient =>
    createHttpClient({ limits, clock, log, secrets, environment, trust, signal });
  const files = trustFilesOf(paths);
  const trust = await establishTrust(
    { limits, clock, log, signal },
    {
      url,
      fingerprint: environment['CA_FINGERPRINT'],
      files,
      trusts: readTlsTrust(environment),
      createClient,
      refreshSystemStore: tools ? async () => refreshSystemStore(limits, signal) : undefined,
      readOnly,
    },
  );
  const reread = async (): Promise<string | undefined> => rereadCaFile(files.caFile, limits.TRUST_PATIENCE);
  const client = createClient({ ...trust, reread });
  return { client, trust, limits, clock, log, secrets, signal };
}

/**
 * Before the first script of an agent, without a request: its tools trust the certificate that the host keeps.
 * `container` may be done on standby, `host` only by the active agent. A disk that does not answer keeps no agent
 * waiting.
 */
export async function prepareTrust(access: ServerAccess, where: 'container' | 'host'): Promise<void> {
  const { configuration, log, signal } = access;
  const { limits, paths } = configuration;
  const target = where === 'host' ? where : { container: async () => refreshSystemStore(limits, signal) };
  try {
    await withDeadline('trust the kept certificate', limits.TRUST_PATIENCE, async () =>
      installKeptTrust(access, trustFilesOf(paths), target),
    );
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    log.warn(`${error.message}; the agent continues`);
  }
}

function trustFilesOf(paths: Paths): TrustRequest['files'] {
  return {
    caFile: caFileOf(paths),
    agentConf: `${paths.rancher}/etc/agent.conf`,
    systemCaFile: '/usr/local/share/ca-certificates/rancher/rancherAddedCA.crt',
  };
}

/** Where the certificate of the server's authority is kept on the host. */
export function caFileOf(paths: Paths): string {
  return `${paths.rancher}/etc/ssl/ca.crt`;
}

async function refreshSystemStore(limits: Limits, signal: AbortSignal): Promise<void> {
  const { status, stderr } = await runCommand('update-ca-certificates', [], {
    deadlineMs: limits.HOST_COMMAND,
    signal,
  });
  if (status !== 0) throw new Error(`update-ca-certificates: status ${status}: ${stderr.trim()}`);
}

/** What an agent knows of its server since its registration. */
export interface AgentSettings {
  readonly cattleUrl: string;
  readonly keys: Credentials;
}

/** Reads them from the environment of the agent's container. @throws ConfigurationError */
export function readAgentSettings(environment: Environment): AgentSettings {
  const cattleUrl = environment['CATTLE_URL'] ?? '';
  const accessKey = environment['CATTLE_ACCESS_KEY'] ?? '';
  const secretKey = environment['CATTLE_SECRET_KEY'] ?? '';
  if (cattleUrl === '' || accessKey === '' || secretKey === '') {
    throw new ConfigurationError('CATTLE_URL, CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY must be set', {
      hint: 'a registration creates an agent: docker run … IMAGE https://SERVER/v1/scripts/TOKEN',
    });
  }
  return { cattleUrl: cattleUrl.replace(/\/+$/, ''), keys: { accessKey, secretKey } };
}
