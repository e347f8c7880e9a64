import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { CommandResult } from '../../support/host/host.ts';
import { quick, startScene, type Scene } from '../../support/scenes/scene.ts';

/* A host whose server requires images of one profile or another, and its agents as the contract describes them. */

/** Of an agent that the server knows from the start. */
export const keys = {
  accessKey: 'TESTACCESSKEY0000001',
  secretKey: 'testsecretkey000000000000000000000000001',
};
export const socket = '/var/run/docker.sock:/var/run/docker.sock';

export let scene: Scene;

/** Starts the host of this test file. */
export function stageHost(): void {
  beforeAll(async () => {
    scene = await startScene({ name: 'profiles', stub: { agents: [keys] } });
  });
  afterEach(async () => {
    Object.assign(scene.server.behaviour, { apiHost: undefined, agentsKnownByFallback: false });
    await scene.reset();
  });
  afterAll(async () => scene.close());
}

/** A container as it is in the table of contract §4: everything there that an engine can be asked for. */
export async function look(name: string): Promise<Record<string, unknown>> {
  const found = await scene.host.inspect(name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  const host = found.HostConfig as unknown as Record<string, unknown>;
  const image = JSON.parse(
    await scene.host.docker('image', 'inspect', '-f', '{{json .Config.Env}}', found.Config.Image),
  ) as string[];
  return {
    command: [found.Path, ...found.Args],
    restart: found.HostConfig.RestartPolicy?.Name,
    network: host['NetworkMode'],
    pid: host['PidMode'],
    privileged: host['Privileged'],
    oomScoreAdjust: host['OomScoreAdj'],
    autoRemove: host['AutoRemove'],
    cgroupNamespace: host['CgroupnsMode'],
    binds: found.HostConfig.Binds,
    volumesFrom: found.HostConfig.VolumesFrom ?? [],
    environment: found.Config.Env.filter((entry) => !image.includes(entry)).sort(),
  };
}

export function asOptions(environment: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
}

export function asEntries(environment: Readonly<Record<string, string | undefined>>): readonly string[] {
  return Object.entries(environment)
    .map(([name, value]) => `${name}=${value ?? ''}`)
    .sort();
}

/** What the contract lets through in any profile, one that only newer ones know, and one that nobody passes on. */
export const given = {
  CATTLE_HOST_LABELS: 'zone=north&tier=db',
  CATTLE_AGENT_IP: '192.0.2.17',
  CATTLE_CHECK_NAMESERVER: 'false',
  CATTLE_CONFIG_URL: 'http://elsewhere.invalid/v1',
  NO_PROXY: '10.0.0.0/8',
};

/** What an agent has after a registration. */
export function registered(): Record<string, string | undefined> {
  const last = scene.server.agents.at(-1);
  return {
    CATTLE_AGENT_PIDNS: 'host',
    CATTLE_HOST_LABELS: given.CATTLE_HOST_LABELS,
    CATTLE_AGENT_IP: given.CATTLE_AGENT_IP,
    NO_PROXY: given.NO_PROXY,
    no_proxy: given.NO_PROXY,
    CATTLE_URL: `${scene.server.url}/v1`,
    CATTLE_ACCESS_KEY: last?.accessKey,
    CATTLE_SECRET_KEY: last?.secretKey,
  };
}

/** Registers with a server that requires that very image, or its agent would be off to another one at once. */
export async function register(image: string, ...options: readonly string[]): Promise<CommandResult> {
  return registerAt(scene.server.registrationUrl, image, ...options);
}

export async function registerAt(
  url: string,
  image: string,
  ...options: readonly string[]
): Promise<CommandResult> {
  scene.server.setRequiredImage(image);
  return scene.registerAt(url, image, ...options);
}

/** As a server's script starts an upgrade: with nothing but the socket. */
export async function upgrade(name: string, image: string, ...options: readonly string[]): Promise<void> {
  scene.server.setRequiredImage(image);
  await scene.host.tryDocker('rm', '-f', name);
  const result = await scene.host.tryDocker(
    ...['run', '--privileged', '--name', name, '-v', socket],
    ...quick,
    ...options,
    image,
    'upgrade',
  );
  expect(result, result.stderr).toMatchObject({ status: 0 });
}

/** As upstream's script made agents, with `docker run`. */
export const upstreamOptions = [
  ...['run', '-d', '--privileged', '--name', 'rancher-agent', '--restart=always', '--net=host', '--pid=host'],
  ...['-e', 'CATTLE_AGENT_PIDNS=host', '-v', socket, '-v', '/lib/modules:/lib/modules:ro'],
  ...['-v', '/proc:/host/proc', '-v', '/dev:/host/dev'],
];

export function oldEnvironment(): Record<string, string> {
  return {
    CATTLE_URL: `${scene.server.url}/v1`,
    CATTLE_ACCESS_KEY: keys.accessKey,
    CATTLE_SECRET_KEY: keys.secretKey,
    CATTLE_HOST_LABELS: given.CATTLE_HOST_LABELS,
  };
}

/** As the engine was told, whatever its own default is. */
export function cgroupNamespacesAsked(name: string): readonly unknown[] {
  return scene.host.proxy.requests
    .filter(({ path, query }) => path === '/containers/create' && query['name'] === name)
    .map(({ body }) => (body as { HostConfig: Record<string, unknown> }).HostConfig['CgroupnsMode']);
}
