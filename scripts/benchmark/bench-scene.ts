import { spawn } from 'node:child_process';
import { link, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { images, limits, startScene, type Scene } from '../../test/support/scenes/scene.ts';

export const ways = ['ours', 'reference'] as const;
/** This entrypoint, or what a shell entrypoint must at least do (test/support/images/reference-entrypoint). */
export type Way = (typeof ways)[number];

/** Two images of each way that differ in their ids alone, so that there is something to upgrade to. */
export const imagesOf: Readonly<Record<Way, readonly [string, string]>> = {
  ours: [images.a, images.b],
  reference: ['rancher/agent:reference-a', 'rancher/agent:reference-b'],
};

/**
 * Verification and the watch over the bootstrap are not measured: they are short here. The benchmark changes between two images
 * again and again, which the product takes for a flapping requirement: not here. Everything else is as people have it.
 */
export const benchLimits = limits({
  VERIFY: 1_000,
  VERIFY_POLL: 500,
  BOOTSTRAP_WATCH: 1_000,
  FLAPPING_RETURNS: 100_000,
});

const referenceFolder = join(
  import.meta.dirname,
  '..',
  '..',
  'test',
  'support',
  'images',
  'reference-entrypoint',
);

/** A host with the images of both ways, whose containers talk to the engine itself. */
export async function startBenchScene(): Promise<Scene> {
  const scene = await startScene({ name: 'bench', stub: { requiredImages: [''], bootstrapRun: 'waits' } });
  try {
    for (const [index, tag] of imagesOf.reference.entries()) {
      await scene.host.docker('build', '-q', '-t', tag, '--label', `bench=${index}`, referenceFolder);
    }
    await leaveProxyOut(scene);
    return scene;
  } catch (error) {
    await scene.close();
    throw error;
  }
}

/** Containers that are created from now on have the engine itself under /var/run/docker.sock, as on a real host. */
export async function leaveProxyOut({ host }: Scene): Promise<void> {
  await rename(host.socketPath, `${host.socketPath}.proxy`);
  await link(host.engineSocketPath, host.socketPath);
}

/** They have the proxy again, which counts. */
export async function putProxyBack({ host }: Scene): Promise<void> {
  await rename(`${host.socketPath}.proxy`, host.socketPath);
}

/** As if nothing had ever run here. */
export async function clearHost({ host, server }: Scene): Promise<void> {
  const ids = (await host.containers()).map(({ id }) => id);
  if (ids.length > 0) await host.docker('rm', '-f', ...ids);
  await rm(join(host.stateDir, 'state'), { recursive: true, force: true });
  await rm(join(host.stateDir, 'entrypoint'), { recursive: true, force: true });
  server.forget();
}

/** One line of the engine's event stream. */
export interface EngineEvent {
  /** `create`, `start`, `kill`, `die`, `rename`, … */
  readonly action: string;
  /** Of the container. */
  readonly id: string;
  readonly name: string;
  /** Milliseconds since 1970, as the engine says. */
  readonly at: number;
}

interface EventLine {
  readonly Action: string;
  readonly timeNano: number;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
}

/** Listens to the engine while something is done. @returns what was done and the events of all containers meanwhile */
export async function withEvents<T>(
  { host }: Scene,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly events: readonly EngineEvent[] }> {
  const begun = Date.now();
  const result = await work();
  const args = ['--since', seconds(begun), '--until', seconds(Date.now()), '--filter', 'type=container'];
  const child = host.spawnDocker('events', '--format', '{{json .}}', ...args);
  const events: EngineEvent[] = [];
  if (child.stdout === null) throw new Error('the event stream can not be read');
  for await (const line of createInterface({ input: child.stdout })) events.push(readEvent(line));
  return { result, events };
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}

function readEvent(line: string): EngineEvent {
  const { Action: action, timeNano, Actor: actor } = JSON.parse(line) as EventLine;
  return { action, id: actor.ID, name: actor.Attributes['name'] ?? '', at: timeNano / 1e6 };
}

/** Runs the Docker client as a person does. @returns what it took, in ms, and its output @throws unless it exits with 0 */
export async function timeDocker(
  { host }: Scene,
  ...args: readonly string[]
): Promise<{ readonly ms: number; readonly stdout: string }> {
  const begun = performance.now();
  const { status, stdout, stderr } = await host.tryDocker(...args);
  const ms = performance.now() - begun;
  if (status !== 0) throw new Error(`docker ${args.join(' ')}: status ${status}\n${stderr}`);
  return { ms, stdout };
}

/** Runs a command of this machine. @returns its output @throws unless it exits with 0 */
export async function runTool(file: string, ...args: readonly string[]): Promise<string> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk as Buffer);
  const status = await new Promise<number | null>((resolve) => {
    if (child.exitCode === null) child.once('exit', resolve);
    else resolve(child.exitCode);
  });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: status ${status ?? 'none'}`);
  return Buffer.concat(chunks).toString();
}
