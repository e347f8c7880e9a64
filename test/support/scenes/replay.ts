/**
 * The incident on a host of its own: an old agent whose loop runs the server's script every few seconds, a server that
 * requires a newer image from the first second on, and an engine that takes its time for every call. Whose entrypoint
 * is in the newer image is the difference: the legacy one (images/legacy-stand-in/run.sh, our own words) or this one.
 */
import { join } from 'node:path';
import { pinnedApi } from '../host/engine-root.ts';
import type { CpuSeconds } from '../host/host-cpu.ts';
import type { ContainerSummary } from '../host/host.ts';
import { images, startScene, type Scene } from './scene.ts';

export const ways = ['old', 'ours'] as const;
export type Way = (typeof ways)[number];

export interface ReplayOptions {
  readonly way: Way;
  /** Additional time of the engine for each call about a container or an image, in ms. */
  readonly delayMs: number;
  /** Between two runs of the server's script; the old agent's five seconds when not given. */
  readonly pauseSeconds?: number;
}

/** What is on the host at one moment. */
export interface Sample {
  /** Seconds since the old agent was started. */
  readonly seconds: number;
  readonly containers: number;
  /** Helpers of the legacy entrypoint that have exited: no process is left that would remove them. */
  readonly leaked: number;
  /** Containers in the agent's name that run. */
  readonly agents: number;
  /** Whether the agent is the one that the server requires. */
  readonly upgraded: boolean;
  /** Whether, in addition, no other container is there. */
  readonly converged: boolean;
  /** Containers created since then, requests to the engine and CPU seconds. */
  readonly created: number;
  readonly requests: number;
  readonly engineCpu: number;
  readonly containersCpu: number;
}

export interface Replay {
  readonly scene: Scene;
  sample(): Promise<Sample>;
  close(): Promise<void>;
}

const oldImage = 'rancher/agent:old-way';
const newImages: Readonly<Record<Way, string>> = { old: 'rancher/agent:old-way-newer', ours: images.b };
const keys = { accessKey: 'AGENTOFTHEREPLAY', secretKey: 'SecretOfTheAgentOfTheReplay' };

/** Starts a host with an old agent at work under a server that requires a newer one. */
export async function startReplay({ way, delayMs, pauseSeconds = 5 }: ReplayOptions): Promise<Replay> {
  const stub = { upgradeStyle: 'detached', agents: [keys], requiredImages: [newImages[way]] } as const;
  const scene = await startScene({ name: `replay-${way}`, stub });
  try {
    const { host } = scene;
    const client = ['--build-arg', `DOCKER_API_VERSION=${pinnedApi() ?? ''}`];
    await host.docker(
      'build',
      '-q',
      '-t',
      oldImage,
      ...client,
      join(import.meta.dirname, '../images/legacy-stand-in'),
    );
    await host.docker('tag', oldImage, newImages.old);
    await host.proxy.reset();
    slowDown(scene, delayMs);
    const cpuBefore = await host.cpuSeconds();
    await startOldAgent(scene, pauseSeconds);
    const begun = Date.now();
    const sample = async (): Promise<Sample> =>
      describe(await host.containers(), scene, way, {
        seconds: (Date.now() - begun) / 1000,
        cpu: since(cpuBefore, await host.cpuSeconds()),
      });
    return { scene, sample, close: async () => scene.close() };
  } catch (error) {
    await scene.close();
    throw error;
  }
}

/** A loaded engine still answers these at once, because it needs no lock and no disk for them. */
const atOnce = ['/_ping', '/version', '/info'];

function slowDown({ host }: Scene, delayMs: number): void {
  if (delayMs === 0) return;
  host.proxy.addRule({
    match: ({ path }) => !atOnce.includes(path),
    action: { kind: 'delay', ms: delayMs },
  });
}

async function startOldAgent({ host, server }: Scene, pauseSeconds: number): Promise<void> {
  const environment = {
    CATTLE_URL: `${server.url}/v1`,
    CATTLE_ACCESS_KEY: keys.accessKey,
    CATTLE_SECRET_KEY: keys.secretKey,
    OLD_WAY_PAUSE: String(pauseSeconds),
  };
  await host.docker(
    ...['run', '-d', '--name', 'rancher-agent', '--restart', 'always', '--net', 'host', '--pid', 'host'],
    ...['--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
    ...['-v', '/var/lib/rancher:/var/lib/rancher'],
    ...Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
    ...[oldImage, 'run'],
  );
}

function describe(
  containers: readonly ContainerSummary[],
  { host }: Scene,
  way: Way,
  { seconds, cpu }: { readonly seconds: number; readonly cpu: CpuSeconds },
): Sample {
  const agents = containers.filter(({ name, state }) => name === 'rancher-agent' && state === 'running');
  const upgraded = agents[0]?.image === newImages[way];
  return {
    seconds,
    containers: containers.length,
    leaked: countLeaked(containers),
    agents: agents.length,
    upgraded,
    converged: upgraded && containers.length === 1,
    created: host.proxy.count({ method: 'POST', path: '/containers/create' }),
    requests: host.proxy.count(({ path }) => path !== '/_ping'),
    engineCpu: cpu.engine,
    containersCpu: cpu.containers,
  };
}

/** A running upgrade may still remove the helpers that are younger than it. */
function countLeaked(newestFirst: readonly ContainerSummary[]): number {
  const upgrade = newestFirst.findIndex(
    ({ name, state }) => name === 'rancher-agent-upgrade' && state === 'running',
  );
  const ownerless = newestFirst.slice(upgrade + 1);
  return ownerless.filter(({ command, state }) => command.endsWith('inspect-host') && state !== 'running')
    .length;
}

function since(before: CpuSeconds, now: CpuSeconds): CpuSeconds {
  return { engine: now.engine - before.engine, containers: now.containers - before.containers };
}
