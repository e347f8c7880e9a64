/**
 * How long an upgrade takes, for how long the host has no agent meanwhile, what it asks of the engine.
 *
 * The clock begins with the `docker run … upgrade` that the server's script types. What the engine did when is read from its
 * event stream; when the bootstrap of the new agent runs, from the file that the server's script writes as its first act. The
 * request for the script says nothing: the next agent sends it on standby.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Scene } from '../../test/support/scenes/scene.ts';
import {
  benchLimits,
  clearHost,
  imagesOf,
  leaveProxyOut,
  putProxyBack,
  timeDocker,
  ways,
  withEvents,
  type EngineEvent,
  type Way,
} from './bench-scene.ts';
import { figureOf, type Figure, type Samples, type Unit } from './figure.ts';

const ROUNDS = 7;
const subject = 'upgrade';
const KILLED = 137;

/** Times of one upgrade, in ms. */
interface Upgrade {
  /** Until the new agent's container is started. */
  readonly started: number;
  /** Until the new agent is active: it runs and has the agent's name. */
  readonly active: number;
  /** Until its bootstrap runs. */
  readonly bootstrap: number;
  /** Until the command exits, and until nothing but the agent is there. */
  readonly command: number;
  readonly tidy: number;
  /** From the old agent's first signal until its end. */
  readonly stopping: number;
  /** From the old agent's end until the new one's start; 0 if that ran before. */
  readonly withoutContainer: number;
  /** From the old agent's end, or its first signal, until the bootstrap of the new one runs. */
  readonly withoutAgent: number;
  readonly fromSignal: number;
  readonly created: number;
}

/** @param rounds how often each of the two is measured, alternately */
export async function measureUpgrades(scene: Scene, rounds = ROUNDS): Promise<readonly Figure[]> {
  const timed: Record<Way, Upgrade[]> = { ours: [], reference: [] };
  const hosts: Record<Way, Registered> = { ours: { turn: 0 }, reference: { turn: 0 } };
  // The first one of each is not counted: what is read from the disk for the first time takes longer.
  for (let round = 0; round <= rounds; round += 1) {
    for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
      await startAgent(scene, way, hosts[way].turn);
      const upgrade = await upgradeOnce(scene, way, 1 - hosts[way].turn);
      hosts[way].turn = 1 - hosts[way].turn;
      if (round === 0) continue;
      timed[way].push(upgrade);
      console.log(describe(way, upgrade));
    }
  }
  const requests = await countRequests(scene);
  await clearHost(scene);
  return [...timeFigures(timed), ...requests];
}

interface Registered {
  turn: number;
}

function timeFigures(timed: Readonly<Record<Way, readonly Upgrade[]>>): readonly Figure[] {
  const of = (read: (upgrade: Upgrade) => number): Samples => ({
    ours: timed.ours.map(read),
    reference: timed.reference.map(read),
  });
  const figure = (name: string, read: (upgrade: Upgrade) => number, mostRatio?: number, unit: Unit = 'ms') =>
    figureOf(
      subject,
      name,
      unit,
      of(read),
      mostRatio === undefined ? undefined : { kind: 'ratio-at-most', value: mostRatio },
    );
  return [
    figure('until the new agent is started', ({ started }) => started, 1.1),
    figure('until it is active', ({ active }) => active, 1.5),
    figure('until its bootstrap runs', ({ bootstrap }) => bootstrap, 1.5),
    figure('until the command exits', ({ command }) => command),
    figure('until all is tidy', ({ tidy }) => tidy),
    figure('no container of an agent runs', ({ withoutContainer }) => withoutContainer, 1),
    figure('no bootstrap runs, from `die`', ({ withoutAgent }) => withoutAgent, 0.5),
    figure('no bootstrap runs, from its signal', ({ fromSignal }) => fromSignal),
    figure('the old agent exits, from its signal', ({ stopping }) => stopping),
    figure('containers created', ({ created }) => created, undefined, 'containers'),
  ];
}

/** Starts an active agent of that way whose bootstrap runs, and removes the other way's. */
export async function startAgent(scene: Scene, way: Way, turn: number): Promise<void> {
  await clearHost(scene);
  const begun = Date.now();
  await timeDocker(scene, ...registration(scene, way, imagesOf[way][turn] ?? ''));
  await awaitBootstrap(scene, begun);
  await scene.settled();
}

export function registration({ server }: Scene, way: Way, image: string): readonly string[] {
  return [
    ...['run', '--rm', '--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
    ...(way === 'ours' ? benchLimits : []),
    ...[image, server.registrationUrl],
  ];
}

async function upgradeOnce(scene: Scene, way: Way, turn: number): Promise<Upgrade> {
  const old = await idOfAgent(scene);
  const begun = Date.now();
  const { result, events } = await withEvents(scene, async () => {
    const ms = await timeUpgrade(scene, way, imagesOf[way][turn] ?? '');
    const acted = await awaitBootstrap(scene, begun);
    await scene.settled();
    return { command: ms, acted, tidy: Date.now() - begun };
  });
  return readUpgrade({ ...result, begun, old, young: await idOfAgent(scene) }, events);
}

/** @returns what the command took, in ms */
async function timeUpgrade({ host }: Scene, way: Way, image: string): Promise<number> {
  const begun = performance.now();
  const { status, stderr } = await host.tryDocker(...upgradeCommand(way, image));
  const ms = performance.now() - begun;
  // The reference's new agent removes the container of the upgrade by force, as is usual; that may not have exited yet.
  if (status === 0 || (way === 'reference' && status === KILLED)) return ms;
  throw new Error(`${way}: the upgrade ended with status ${status}\n${stderr}`);
}

function upgradeCommand(way: Way, image: string): readonly string[] {
  return [
    ...['run', '--privileged', '--name', 'rancher-agent-upgrade'],
    ...['-v', '/var/run/docker.sock:/var/run/docker.sock'],
    ...(way === 'ours' ? benchLimits : []),
    ...[image, 'upgrade'],
  ];
}

interface Seen {
  readonly begun: number;
  readonly old: string;
  readonly young: string;
  readonly command: number;
  readonly acted: number;
  readonly tidy: number;
}

function readUpgrade(seen: Seen, events: readonly EngineEvent[]): Upgrade {
  const { begun, old, young, acted } = seen;
  const when = (action: string, id: string): number => {
    const found = events.find((event) => event.action === action && event.id === id);
    if (found === undefined) throw new Error(`the engine tells of no ${action} of ${id}`);
    return found.at;
  };
  const died = when('die', old);
  const signalled = when('kill', old);
  const started = when('start', young);
  const named = events.findLast(
    ({ action, id, name }) => action === 'rename' && id === young && name === 'rancher-agent',
  );
  return {
    started: started - begun,
    active: (named?.at ?? started) - begun,
    bootstrap: acted - begun,
    command: seen.command,
    tidy: seen.tidy,
    stopping: died - signalled,
    withoutContainer: Math.max(0, started - died),
    withoutAgent: acted - died,
    fromSignal: acted - signalled,
    created: events.filter(({ action, id }) => action === 'create' && id !== old).length,
  };
}

/** When a bootstrap was started since then: the script notes it in the host's folder. That of the old agent runs on. */
async function awaitBootstrap(scene: Scene, since: number): Promise<number> {
  const file = join(scene.host.stateDir, 'state', 'bootstrap-ran');
  return scene.waitFor('a bootstrap', async () => {
    const found = await stat(file).catch(() => undefined);
    return found !== undefined && found.mtimeMs >= since ? found.mtimeMs : undefined;
  });
}

async function idOfAgent({ host }: Scene): Promise<string> {
  const agent = await host.inspect('rancher-agent');
  if (agent === undefined) throw new Error('there is no agent');
  return agent.Id;
}

/** What one upgrade asks of the engine, by everybody, until all is tidy; on the same host, behind the proxy that counts. */
async function countRequests(scene: Scene): Promise<readonly Figure[]> {
  const counts: Record<Way, number[]> = { ours: [], reference: [] };
  await putProxyBack(scene);
  try {
    for (const way of ways) {
      await startAgent(scene, way, 0);
      await scene.host.proxy.reset();
      await upgradeOnce(scene, way, 1);
      counts[way].push(scene.host.proxy.count());
    }
  } finally {
    await leaveProxyOut(scene);
  }
  return [figureOf(subject, 'engine requests', 'requests', counts, { kind: 'at-most', value: 70 })];
}

function describe(way: Way, upgrade: Upgrade): string {
  const times = Object.entries(upgrade).map(([name, value]) => `${name} ${Math.round(Number(value))}`);
  return `upgrade ${way.padEnd(9)} ${times.join(', ')}`;
}
