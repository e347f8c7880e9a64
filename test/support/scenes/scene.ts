import { setTimeout as sleep } from 'node:timers/promises';
import { startStubServer, type StubOptions, type StubServer } from '../server/stub/stub-server.ts';
import type { AgentKeys } from '../server/stub/stub-state.ts';
import {
  startHost,
  type CommandResult,
  type ContainerSummary,
  type StartOptions,
  type TestHost,
} from '../host/host.ts';

/** Images that every test host has. */
export const images = {
  base: 'agent-test-base',
  a: 'rancher/agent:test-a',
  b: 'rancher/agent:test-b',
  broken: 'rancher/agent:test-broken',
  /** Of the profile `rancher-1.0`. */
  oldA: 'rancher/agent:v1.0-test-a',
  oldB: 'rancher/agent:v1.0-test-b',
  /** Of the profile `pasturestack`. */
  pastureA: 'ghcr.io/pasturestack/node-agent:test-a',
  pastureB: 'ghcr.io/pasturestack/node-agent:test-b',
  /** Version 0.1, on hosts that have it. */
  earlier: 'rancher/agent:test-earlier',
  /** Another entrypoint's. */
  upstream: 'rancher/agent:v1.0.1',
} as const;

/** The pauses of a real host, made short for a test. */
export const quick: readonly string[] = limits({
  VERIFY: 2_000,
  VERIFY_POLL: 1_000,
  BOOTSTRAP_WATCH: 2_000,
  ATTEMPT_PAUSE_MIN: 1_000,
  FOLLOW_POLL: 5_000,
  STANDBY_ALONE: 2_000,
  // Tests go back and forth between two images on purpose.
  FLAPPING_RETURNS: 100_000,
});

/** `-e` arguments that set limits of the entrypoint. */
export function limits(values: Readonly<Record<string, number>>): readonly string[] {
  return Object.entries(values).flatMap(([name, value]) => ['-e', `AGENT_LIMIT_${name}=${value}`]);
}

/** A host and a server that it can reach: what most tests on a real engine need. */
export class Scene {
  readonly host: TestHost;
  readonly server: StubServer;

  constructor(host: TestHost, server: StubServer) {
    this.host = host;
    this.server = server;
  }

  /** Registers the host exactly as people type it (contract §3). */
  async register(image: string = images.a, ...options: readonly string[]): Promise<CommandResult> {
    return this.registerAt(this.server.registrationUrl, image, ...options);
  }

  /** The same with another URL. */
  async registerAt(url: string, image: string, ...options: readonly string[]): Promise<CommandResult> {
    return this.host.tryDocker(
      ...['run', '--rm', '--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
      ...quick,
      ...options,
      image,
      url,
    );
  }

  /** Starts an agent as a registration creates it, with options of the test. The server must know its keys. */
  async startAgent(keys: AgentKeys, ...options: readonly string[]): Promise<void> {
    await this.host.docker(
      ...['run', '-d', '--name', 'rancher-agent', '--restart', 'always', '--privileged'],
      ...['--net', 'host', '--pid', 'host'],
      // The engine refuses a second bind at the same path.
      ...(options.some((it) => it.endsWith(':/var/run/docker.sock'))
        ? []
        : ['-v', '/var/run/docker.sock:/var/run/docker.sock']),
      ...['-v', '/proc:/host/proc', '-v', '/dev:/host/dev', '-v', '/var/lib/rancher:/var/lib/rancher'],
      ...['-e', `CATTLE_URL=${this.server.url}/v1`],
      ...['-e', `CATTLE_ACCESS_KEY=${keys.accessKey}`, '-e', `CATTLE_SECRET_KEY=${keys.secretKey}`],
      ...options,
      images.a,
      'run',
    );
  }

  /**
   * Starts an upgrade exactly as the server's script does (contract §3): only the socket is mounted. The server
   * requires that image from now on, or the new agent would go back by itself.
   */
  async upgrade(image: string = images.b, ...options: readonly string[]): Promise<CommandResult> {
    this.server.setRequiredImage(image);
    await this.removeUpgradeContainer();
    return this.host.tryDocker(...upgradeArguments(image, ...options));
  }

  /**
   * Removes the upgrade container by force, as the server's script does before an upgrade. The agent may do the same
   * meanwhile.
   */
  async removeUpgradeContainer(): Promise<void> {
    await this.waitFor('no upgrade container', async () => {
      if ((await this.host.inspect('rancher-agent-upgrade')) === undefined) return true;
      await this.host.tryDocker('rm', '-f', 'rancher-agent-upgrade');
      return undefined;
    });
  }

  /** The containers of all roles and everything else that is there, by name. */
  async names(): Promise<readonly string[]> {
    return (await this.host.containers()).map((container) => container.name).sort();
  }

  /** Waits until nothing but the agent is there: the agent itself may still remove what an upgrade has left. */
  async settled(...allowed: readonly string[]): Promise<readonly ContainerSummary[]> {
    return this.only('rancher-agent', ...allowed);
  }

  /**
   * Waits until there are these containers and no others. A worker with AutoRemove is still there for a moment after
   * its caller has returned: Docker removes it after its exit.
   */
  async only(...names: readonly string[]): Promise<readonly ContainerSummary[]> {
    const expected = [...names].sort();
    return this.waitFor(`only ${expected.join(', ')}`, async () => {
      const containers = await this.host.containers();
      const present = containers.map((container) => container.name).sort();
      return present.join() === expected.join() ? containers : undefined;
    });
  }

  /** Calls `look` until it finds something. @throws after `seconds`, with the state of the host */
  async waitFor<T>(what: string, look: () => Promise<T | undefined>, seconds = 120): Promise<T> {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      if (Date.now() > end)
        throw new Error(`not within ${seconds} s: ${what}; there is:\n${await this.describe()}`);
      await sleep(100);
    }
  }

  /** The state of the host, for the message of a failed test. */
  async describe(): Promise<string> {
    const containers = await this.host.containers();
    const lines = containers.map(
      ({ name, state, image, status }) => `  ${name} ${state} ${image} (${status})`,
    );
    const logs = await this.host.tryDocker('logs', '--tail', '40', 'rancher-agent');
    const status = await this.readStatusText();
    const engine = await this.host.engineComplaints();
    return [
      ...[...lines, `status: ${status}`, 'log of rancher-agent:', logs.stdout, logs.stderr],
      ...['complaints of the engine:', ...engine],
    ].join('\n');
  }

  /** The text of the status file on the host. */
  async readStatusText(): Promise<string> {
    const { readFile } = await import('node:fs/promises');
    return readFile(`${this.host.stateDir}/entrypoint/status.json`, 'utf8').catch(String);
  }

  async readStatus(): Promise<Record<string, unknown>> {
    return JSON.parse(await this.readStatusText()) as Record<string, unknown>;
  }

  /** Between tests. */
  async reset(): Promise<void> {
    await this.host.reset();
    this.server.clearFaults();
    this.server.setRequiredImage(images.a);
  }

  async close(): Promise<void> {
    await this.host.stop();
    await this.server.close();
  }
}

/** What the server's script types to upgrade an agent (contract §3), with quick limits. */
export function upgradeArguments(image: string, ...options: readonly string[]): readonly string[] {
  return [
    ...['run', '--privileged', '--name', 'rancher-agent-upgrade'],
    ...['-v', '/var/run/docker.sock:/var/run/docker.sock'],
    ...quick,
    ...options,
    image,
    'upgrade',
  ];
}

/** Starts a host and, on its gateway, a server that requires image A of its agents. */
export async function startScene(
  options: StartOptions & { readonly stub?: StubOptions } = {},
): Promise<Scene> {
  const { stub, ...hostOptions } = options;
  const host = await startHost(hostOptions);
  const server = await startStubServer({ host: host.gateway, requiredImages: [images.a], ...stub });
  return new Scene(host, server);
}
