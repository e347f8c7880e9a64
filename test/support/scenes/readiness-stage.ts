/** A host under a TLS server that has a name and whose agents hold websockets: where readiness is tested. */
import { expect } from 'vitest';
import { certificates } from '../server/certificates.ts';
import type { StubOptions } from '../server/stub/stub-server.ts';
import type { AgentConnection } from '../server/stub/stub-websocket.ts';
import type { AgentKeys } from '../server/stub/stub-state.ts';
import type { CommandResult, StartOptions } from '../host/host.ts';
import { readinessImage, requiredName, type ReadinessStage } from '../images/readiness-images.ts';
import { startScene, type Scene } from './scene.ts';

/** The server's name; its certificate has it, and the host knows it by /etc/hosts. */
const serverName = 'rancher';
/** Between two runs of the server's script, as the legacy entrypoint has it. */
const legacyPauseSeconds = 5;

const keys: AgentKeys = { accessKey: 'AGENTOFREADINESS', secretKey: 'SecretOfTheAgentOfReadiness' };

/** An agent at work, as it was at one moment. */
export interface AgentAtWork {
  readonly id: string;
  readonly startedAt: string;
  /** The websocket of its bootstrap run. */
  readonly connection: AgentConnection;
}

export class ReadinessStageHost {
  readonly scene: Scene;

  constructor(scene: Scene) {
    this.scene = scene;
  }

  /** Its address by name. */
  get url(): string {
    return `https://${serverName}:${this.scene.server.port}`;
  }

  /** What the server requires by the one name of the tests is from now on this image. */
  async provide(stage: ReadinessStage): Promise<void> {
    await this.scene.host.docker('tag', readinessImage(stage), requiredName);
  }

  /** Registers the host with a hardened agent, and waits until its bootstrap runs. */
  async startHardened(stage: ReadinessStage = 'old'): Promise<AgentAtWork> {
    const { scene } = this;
    const image = readinessImage(stage);
    scene.server.setRequiredImage(image);
    const result = await scene.registerAt(`${this.url}/v1/scripts/${scene.server.token}`, image);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.settled();
    return this.#begin();
  }

  /** Starts a legacy agent that the server knows, and waits until its bootstrap runs. */
  async startLegacy(): Promise<AgentAtWork> {
    const { scene } = this;
    const image = readinessImage('legacy');
    scene.server.setRequiredImage(image);
    const environment = {
      CATTLE_URL: `${this.url}/v1`,
      CATTLE_CONFIG_URL: `${this.url}/v1`,
      CATTLE_HOME: '/var/lib/cattle',
      CATTLE_ACCESS_KEY: keys.accessKey,
      CATTLE_SECRET_KEY: keys.secretKey,
      OLD_WAY_PAUSE: String(legacyPauseSeconds),
    };
    await scene.host.docker(
      ...['run', '-d', '--name', 'rancher-agent', '--restart', 'always', '--net', 'host', '--pid', 'host'],
      ...['--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
      ...['-v', '/var/lib/rancher:/var/lib/rancher'],
      ...Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
      ...[image, 'run'],
    );
    return this.#begin();
  }

  /** From here on the proxy's record is that of the test: a registration creates a next agent, too. */
  async #begin(): Promise<AgentAtWork> {
    const agent = await this.atWork();
    await this.scene.host.proxy.reset();
    return agent;
  }

  /** Waits for the one websocket of the active agent. */
  async atWork(seconds = 45): Promise<AgentAtWork> {
    const { scene } = this;
    return scene.waitFor(
      'an agent whose bootstrap runs',
      async () => {
        const agent = await scene.host.inspect('rancher-agent');
        const [connection, ...others] = scene.server.connections.open();
        if (agent?.State.Running !== true || connection === undefined || others.length > 0) return undefined;
        return { id: agent.Id, startedAt: agent.State.StartedAt, connection };
      },
      seconds,
    );
  }

  /** The same container, the same start, and the same run of its bootstrap. */
  async expectUntouched(before: AgentAtWork): Promise<void> {
    await this.expectSameStart(before);
    expect(before.connection.closedAt, 'the bootstrap run of the old agent has ended').toBeUndefined();
  }

  /** The same container, and the same start. */
  async expectSameStart(before: AgentAtWork): Promise<void> {
    expect(await this.scene.host.inspect('rancher-agent')).toMatchObject({
      Id: before.id,
      State: { StartedAt: before.startedAt, Running: true },
    });
  }

  /** As the server does it: the setting is changed, and its agents lose their websockets. */
  requireByServer(image: string): void {
    const { server } = this.scene;
    server.setRequiredImage(image);
    server.connections.close();
  }

  /** Waits until the status file says so. */
  async waitForState(state: string, seconds: number): Promise<Record<string, unknown>> {
    const { scene } = this;
    return scene.waitFor(
      `state ${state}`,
      async () => {
        const status = await scene.readStatus().catch(() => undefined);
        return status?.['state'] === state ? status : undefined;
      },
      seconds,
    );
  }

  /** Waits until the agent runs from the image, serves, and nothing else is left. @returns it */
  async upgraded(image: string, seconds: number): Promise<AgentAtWork> {
    const { scene } = this;
    await scene.waitFor(
      `an agent made from ${image}, and nothing else`,
      async () => {
        const upgrade = await scene.host.inspect('rancher-agent-upgrade');
        if (upgrade?.State.Running === false) await scene.host.tryDocker('rm', 'rancher-agent-upgrade');
        const [agent, ...others] = await scene.host.containers();
        const isAlone = agent?.name === 'rancher-agent' && others.length === 0;
        return isAlone && agent.state === 'running' && agent.image === image ? true : undefined;
      },
      seconds,
    );
    const wanted = await scene.host.docker('image', 'inspect', '--format', '{{.Id}}', image);
    expect((await scene.host.inspect('rancher-agent'))?.Image).toBe(wanted);
    const agent = await this.atWork();
    await this.waitForState('ok', 30);
    return agent;
  }

  /** Something is wrong from the start of the next agent on. */
  whenNextStarts(run: () => Promise<void>): void {
    this.scene.host.proxy.addRule({
      match: ({ method, path, userAgent }) =>
        method === 'POST' && userAgent.includes('(worker)') && path.endsWith('/start'),
      times: 1,
      action: { kind: 'call', when: 'before', run },
    });
  }

  /** After an upgrade to the image that the server requires by its one name. */
  async expectUpgraded(result: CommandResult): Promise<void> {
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await this.scene.removeUpgradeContainer();
    await this.upgraded(requiredName, 60);
  }

  async reset(): Promise<void> {
    const { scene } = this;
    await scene.reset();
    await scene.server.heal();
    scene.server.connections.close();
  }

  async close(): Promise<void> {
    await this.scene.close();
  }
}

export async function startReadinessStage(
  options: StartOptions & { readonly stub?: StubOptions } = {},
): Promise<ReadinessStageHost> {
  const scene = await startScene({
    images: 'readiness',
    ...options,
    stub: {
      tls: certificates.server,
      agents: [keys],
      bootstrapShape: 'rancher',
      agentRun: 'websocket',
      archiveMs: 300,
      ...options.stub,
    },
  });
  await scene.host.knowName(serverName, scene.host.gateway);
  return new ReadinessStageHost(scene);
}
