import type { ContainerDetails, Engine } from '../../engine/engine.ts';
import { candidatesOf, isInNamespace, readOwnTraces, type OwnTraces } from '../../host/own-container.ts';
import { ConfigurationError } from '../../support/errors.ts';
import type { Configuration, Paths } from '../../support/configuration.ts';
import { labels } from './roles.ts';

/*
 * Which container this process runs in. Only evidence counts that no other container can give: our cgroup, the layer of our
 * root file system, our mount namespace. It is compared with what the engine says about the container. The mounted files and the
 * host name are only a first guess: with `--network container:web` both are those of *web*.
 */

/**
 * The container that this process runs in, as the engine knows it; undefined outside of one, or where nothing shows it.
 * One inspection in most cases. If that proves nothing, the running containers of our images are inspected, at most OWN_SEARCH.
 */
export async function inspectOwnContainer(
  engine: Engine,
  { paths, hostname, limits }: Pick<Configuration, 'paths' | 'hostname' | 'limits'>,
): Promise<ContainerDetails | undefined> {
  const traces = await readOwnTraces(paths, hostname);
  const refuted = new Set<string>();
  for (const id of candidatesOf(traces)) {
    const found = await engine.inspectContainer(id);
    // Found by a name that looks like an id.
    if (found?.id.startsWith(id) !== true) continue;
    const verdict = await compare(paths, traces, found);
    if (verdict === 'own') return found;
    if (verdict === 'other') refuted.add(found.id);
  }
  if (traces.files === undefined && traces.layers.length === 0) return undefined;
  return searchRunning(engine, { paths, traces, refuted, most: limits.OWN_SEARCH });
}

type Verdict = 'own' | 'other' | 'unknown';

/** Compares what the kernel shows of our container with what the engine says about one. */
async function compare(paths: Paths, traces: OwnTraces, found: ContainerDetails): Promise<Verdict> {
  const layers = found.layers ?? [];
  // A layer belongs to one container.
  if (traces.layers.some((layer) => layers.includes(layer))) return 'own';
  if (traces.layers.length > 0 && layers.length > 0) return 'other';
  if (traces.cgroup === found.id) return 'own';
  const { mountNamespace } = traces;
  const pid = found.pid ?? 0;
  if (mountNamespace === undefined || pid === 0) return 'unknown';
  return (await isInNamespace(paths, pid, mountNamespace)) ? 'own' : 'unknown';
}

interface Search {
  readonly paths: Paths;
  readonly traces: OwnTraces;
  /** Ids of other containers. */
  readonly refuted: ReadonlySet<string>;
  /** Containers that are inspected. */
  readonly most: number;
}

/** Our container runs, and has the label of our image. */
async function searchRunning(
  engine: Engine,
  { paths, traces, refuted, most }: Search,
): Promise<ContainerDetails | undefined> {
  const listed = await engine.listContainers({ label: labels.version, states: ['running'] });
  const unknown: ContainerDetails[] = [];
  for (const { id } of listed.filter((each) => !refuted.has(each.id)).slice(0, most)) {
    const found = await engine.inspectContainer(id);
    if (found === undefined) continue;
    const verdict = await compare(paths, traces, found);
    if (verdict === 'own') return found;
    if (verdict === 'unknown') unknown.push(found);
  }
  return listed.length > most ? undefined : onlyUserOf(traces.files, unknown);
}

/**
 * Where nothing can be compared (containerd's image store, a private cgroup namespace, no processes of the host): the mounted
 * files are those of one container, and of all that share its network. If only one of them is of our image, we are that one.
 */
function onlyUserOf(
  files: string | undefined,
  running: readonly ContainerDetails[],
): ContainerDetails | undefined {
  if (files === undefined) return undefined;
  const users = running.filter(({ id, networkMode = '' }) => id === files || mayShare(networkMode, files));
  return users.length === 1 ? users[0] : undefined;
}

/** Whether a network mode names that container, or one whose id it does not say. */
function mayShare(networkMode: string, id: string): boolean {
  const other = /^container:(.*)$/.exec(networkMode)?.[1];
  return other !== undefined && (other === id || !/^[0-9a-f]{64}$/.test(other));
}

/**
 * The image that this entrypoint itself runs from, as it was named: of our own container, else `RANCHER_AGENT_IMAGE`
 * (contract §4).
 * @throws ConfigurationError when neither is known
 */
export function ownImageOf(own: ContainerDetails | undefined, configuration: Configuration): string {
  const image = own?.image ?? configuration.ownImage;
  if (image !== undefined) return image;
  throw new ConfigurationError('the image of this container is not known', {
    hint: 'run it as a container, or set RANCHER_AGENT_IMAGE to the name of the image',
  });
}

/**
 * The image for a worker: our own by its name, which people recognise, as long as that still means the image that we run
 * from; by its id when the name is gone or another image has it by now. The engine keeps the image of a container that
 * runs, whatever becomes of its names.
 */
export async function workerImageOf(
  engine: Pick<Engine, 'inspectImage'>,
  own: ContainerDetails | undefined,
  name: string,
): Promise<string> {
  if (own === undefined) return name;
  const named = await engine.inspectImage(name);
  return named?.id === own.imageId ? name : own.imageId;
}
