/**
 * An unprivileged user of a test host's engine, behind an authorization filter as authorization plugins and socket
 * proxies are: name, labels, image, command, environment, named and anonymous volumes of a container are free;
 * everything that leads to the host is refused. The tenant can list containers of others but cannot change them.
 */
import { join } from 'node:path';
import type { CommandResult, TestHost } from '../host/test-host.ts';
import { startEngineProxy, type RecordedRequest } from './engine-proxy.ts';

export interface Tenant {
  /** Runs the Docker client as the tenant. @returns its output, trimmed @throws with its error output */
  docker: (...args: string[]) => Promise<string>;
  /** The same without an error for another exit status than 0. */
  tryDocker: (...args: string[]) => Promise<CommandResult>;
  close: () => Promise<void>;
}

/** Opens a socket for the tenant; `close` it before the host is stopped. */
export async function openTenant(host: TestHost): Promise<Tenant> {
  const socketPath = join(host.dir, 'tenant.sock');
  const proxy = await startEngineProxy({ listen: socketPath, target: host.engineSocketPath });
  proxy.addRule({
    match: (request) => whyRefused(request) !== undefined,
    action: { kind: 'answer', status: 403, body: { message: 'authorization denied for this user' } },
  });
  const tryDocker = async (...args: string[]): Promise<CommandResult> =>
    host.tryDockerAt(socketPath, ...args);
  return {
    tryDocker,
    docker: async (...args) => {
      const { status, stdout, stderr } = await tryDocker(...args);
      if (status !== 0)
        throw new Error(`tenant: docker ${args.join(' ')}: status ${status}: ${stderr.trim()}`);
      return stdout.trim();
    },
    close: proxy.close,
  };
}

/** The steps of `docker run` after the creation. They do no harm to containers of others. */
const harmless = /^\/containers\/[^/]+\/(start|wait|attach|resize)$/;

/** Why the filter refuses a request; undefined if it lets it through. */
export function whyRefused({
  method,
  path,
  body,
}: Pick<RecordedRequest, 'method' | 'path' | 'body'>): string | undefined {
  if (method === 'GET' || method === 'HEAD') return undefined;
  if (method === 'POST' && path === '/containers/create') return whyCreateIsRefused(body);
  if (method === 'POST' && harmless.test(path)) return undefined;
  // A volume with options of a driver may be any folder of the host.
  const { DriverOpts } = (body ?? {}) as { DriverOpts?: unknown };
  if (method === 'POST' && path === '/volumes/create' && isNothing(DriverOpts)) return undefined;
  return `${method} ${path}`;
}

/** What a container may ask of the host. Any other field of `HostConfig` must be empty, off or the engine's default. */
const free: ReadonlySet<string> = new Set([
  ...['AutoRemove', 'RestartPolicy', 'LogConfig', 'ConsoleSize', 'Memory', 'MemorySwap', 'MemorySwappiness'],
  ...['NanoCpus', 'CpuShares', 'PidsLimit', 'ShmSize', 'Isolation', 'Dns', 'DnsOptions', 'DnsSearch'],
  ...['PortBindings', 'PublishAllPorts', 'ReadonlyRootfs', 'Init', 'MaskedPaths', 'ReadonlyPaths'],
]);

function whyCreateIsRefused(body: unknown): string | undefined {
  const { HostConfig = {} } = body as { HostConfig?: Readonly<Record<string, unknown>> };
  for (const [name, value] of Object.entries(HostConfig)) {
    if (free.has(name) || isNothing(value)) continue;
    if (name === 'NetworkMode' && ['default', 'bridge', 'none'].includes(String(value))) continue;
    if (name === 'Binds' && (value as string[]).every((bind) => !bind.startsWith('/'))) continue;
    return name;
  }
  return undefined;
}

function isNothing(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === null || value === undefined || value === '' || value === false || value === 0;
}
