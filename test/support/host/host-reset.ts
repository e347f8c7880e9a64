/** Resets a running test host to the state in which it was started. A new host would take much longer. */
import { execFile } from 'node:child_process';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { callEngine } from './engine-call.ts';

const run = promisify(execFile);
const EMPTY_DEADLINE_MS = 60_000;

interface Engine {
  socketPath: string;
  dockerRoot: string;
}

/** Image references of a host (`name:tag`) and the image ids they mean. */
export type ImageTags = ReadonlyMap<string, string>;

/** Reads which images an engine has under which names. */
export async function readImageTags(socketPath: string): Promise<ImageTags> {
  const images = (await callEngine(socketPath, 'GET', '/images/json')).body as {
    Id: string;
    RepoTags: string[] | null;
  }[];
  return new Map(images.flatMap(({ Id, RepoTags }) => (RepoTags ?? []).map((tag) => [tag, Id] as const)));
}

/** Removes every container by force, and first undoes what a test did to make a removal fail. */
export async function removeAllContainers(engine: Engine): Promise<void> {
  const deadline = Date.now() + EMPTY_DEADLINE_MS;
  for (;;) {
    const left = await listContainerIds(engine.socketPath);
    if (left.length === 0) return;
    if (Date.now() > deadline) throw new Error(`these containers cannot be removed: ${left.join(' ')}`);
    const removed = await Promise.all(left.map((id) => removeContainer(engine, id)));
    if (removed.includes(false)) await sleep(50);
  }
}

/** Removes every volume and every network that the engine did not make itself. */
export async function removeVolumesAndNetworks(socketPath: string): Promise<void> {
  const listed = await callEngine(socketPath, 'GET', '/volumes');
  const volumes = (listed.body as { Volumes: { Name: string }[] | null }).Volumes ?? [];
  await Promise.all(volumes.map(({ Name }) => callEngine(socketPath, 'DELETE', `/volumes/${Name}?force=1`)));
  await callEngine(socketPath, 'POST', '/networks/prune');
}

/**
 * Gives the image names the meaning that they had in `wanted`, and removes all others.
 *
 * @returns false if one of the wanted images itself is gone
 */
export async function restoreImages(socketPath: string, wanted: ImageTags): Promise<boolean> {
  const present = await readImageTags(socketPath);
  for (const tag of present.keys()) {
    if (wanted.has(tag)) continue;
    await callEngine(socketPath, 'DELETE', `/images/${tag}?force=1`);
  }
  for (const [tag, id] of wanted) {
    if (present.get(tag) === id) continue;
    const colon = tag.lastIndexOf(':');
    const query = new URLSearchParams({ repo: tag.slice(0, colon), tag: tag.slice(colon + 1) });
    const answer = await callEngine(socketPath, 'POST', `/images/${id}/tag?${query.toString()}`);
    if (answer.status !== 201) return false;
  }
  return true;
}

/** Empties a folder but keeps the folder itself, which may be mounted somewhere. */
export async function emptyFolder(dir: string, keep: readonly string[] = []): Promise<void> {
  for (const entry of await readdir(dir).catch(() => [])) {
    if (keep.includes(entry)) continue;
    await rm(join(dir, entry), { recursive: true, force: true });
  }
}

async function listContainerIds(socketPath: string): Promise<string[]> {
  const { body } = await callEngine(socketPath, 'GET', '/containers/json?all=1');
  const listed = await withoutGhosts(socketPath, body as { Id: string; Names: string[] | null }[]);
  return listed.map(({ Id }) => Id);
}

/**
 * What an engine lists, without what it only believes to be there: Docker 20.10 that was killed beside a running
 * container with AutoRemove sometimes removes that one twice at its start, and then lists it, dead and without a name,
 * until its next start. It is on no disk, and inspect and DELETE are a 404. Whatever anybody makes has a name.
 */
export async function withoutGhosts<T extends { Id: string; Names: string[] | null }>(
  socketPath: string,
  listed: readonly T[],
): Promise<T[]> {
  const isReal = await Promise.all(
    listed.map(async ({ Id, Names }) => {
      const isNamed = (Names?.[0] ?? '') !== '';
      return isNamed || (await callEngine(socketPath, 'GET', `/containers/${Id}/json`)).status !== 404;
    }),
  );
  return listed.filter((_, index) => isReal[index]);
}

async function removeContainer({ socketPath, dockerRoot }: Engine, id: string): Promise<boolean> {
  const { status } = await callEngine(socketPath, 'DELETE', `/containers/${id}?force=1&v=1`);
  if (status === 204 || status === 404) return true;
  // The engine's own record, because a dead container may no longer be inspected.
  const layer = await readFile(
    join(dockerRoot, 'image/overlay2/layerdb/mounts', id, 'mount-id'),
    'utf8',
  ).catch(() => '');
  if (layer)
    await run('chattr', ['-R', '-f', '-i', join(dockerRoot, 'overlay2', layer, 'diff')]).catch(
      () => undefined,
    );
  return false;
}
