import { isAgentImage, labels, type RoleNames } from '../agent/identity/roles.ts';
import type { ContainerDetails, ContainerState, ContainerSummary } from '../engine/engine.ts';

/*
 * What counts as a leaked helper of an older entrypoint. That one starts its helpers with `docker run --rm`; below API
 * 1.25 it is the client that removes them, so a client that is killed leaves one behind (incident §2.2). Everything here is
 * pure, and strict: what does not prove to be such a helper, by all of its command, image, name and state, stays.
 */

/**
 * The helpers that leak, by the command they were given. Read from all 107 versions of upstream's `agent/run.sh` and
 * from PastureStack's: `run … IMAGE inspect-host`, `run … IMAGE -- /usr/bin/share-mnt FOLDER… -- norun` and, in v1.0 where
 * the server was given as localhost, `run … IMAGE -- ip route get 8.8.8.8`; always below the image's own `/run.sh`.
 */
export type HelperKind = 'inspect-host' | 'share-mnt' | 'find-gateway';

/** Nothing of a container in these states runs. Newer engines may list a dead one as `removing` for ever. */
export const leftStates: readonly ContainerState[] = ['exited', 'created', 'dead', 'removing'];

/** A container that looks like a leaked helper in a list. A list alone proves nothing: see `judgeHelper`. */
export interface Suspect {
  readonly kind: HelperKind;
  readonly container: ContainerSummary;
}

export interface LeakRules {
  /** Containers with one of these names are ours, whatever else they are. */
  readonly names: RoleNames;
  /** Milliseconds since 1970, by the host's clock. */
  readonly now: number;
  /** A helper that was made or ended less than this many ms ago may still be read by whoever started it. */
  readonly age: number;
  /** What its image gives to its containers; left out where nobody has asked, or there is no such image any more. */
  readonly imageLabels?: Readonly<Record<string, string>>;
}

/** Why a container is no leaked helper, or can't be shown to be one. */
export type Innocence =
  | 'another command'
  | 'another image'
  | 'made by this entrypoint'
  | 'has a name of ours'
  | 'was given a name'
  | 'was given a label'
  | 'restarts by itself'
  | 'has not ended'
  | 'may still be in use'
  /** A dead container of ours, and no other agent on this host has keys. */
  | 'may hold the only keys'
  /** Said by whoever wanted to remove it: somebody else did, or does. */
  | 'gone';

export type Verdict =
  { readonly leak: true; readonly kind: HelperKind } | { readonly leak: false; readonly because: Innocence };

const findGateway = ['/run.sh', '--', 'ip', 'route', 'get', '8.8.8.8'];

/** The helper that a command, entrypoint first, belongs to. Exact: one word more or less is somebody's own container. */
export function kindOfHelper(command: readonly string[]): HelperKind | undefined {
  const [entrypoint, first, second] = command;
  if (entrypoint !== '/run.sh') return undefined;
  if (first === 'inspect-host' && command.length === 2) return 'inspect-host';
  if (command.length === findGateway.length && findGateway.every((word, at) => word === command[at]))
    return 'find-gateway';
  const isSharing = first === '--' && second === '/usr/bin/share-mnt';
  return isSharing && command.slice(3).join(' ').endsWith(' -- norun') ? 'share-mnt' : undefined;
}

/**
 * The suspects in a list, in the order in which they are to be removed: oldest first, but those that are dead already
 * last. Their removal has failed before, and a few of them in front would keep every start from all the others.
 *
 * @param listed as the engine gives it: newest first, which keeps the order of those made in the same second
 */
export function findSuspects(listed: readonly ContainerSummary[], names: RoleNames): readonly Suspect[] {
  const suspects = listed.flatMap((container): Suspect[] => {
    const kind = kindOfHelper(container.command.split(' '));
    if (kind === undefined || !leftStates.includes(container.state)) return [];
    if (!isFromAgentImage(container) && !isBareId(container.image)) return [];
    return findOwner(container, names) === undefined ? [{ kind, container }] : [];
  });
  const rank = ({ container }: Suspect): number => (isDeadState(container.state) ? 1 : 0);
  return suspects
    .reverse()
    .sort((a, b) => rank(a) - rank(b) || a.container.createdAt - b.container.createdAt);
}

/** Dead containers with a name of ours: removing them failed before, and they hold their names. Oldest first. */
export function findDead(listed: readonly ContainerSummary[], names: RoleNames): readonly ContainerSummary[] {
  return listed
    .filter(({ state, name }) => isDeadState(state) && isRoleName(name, names))
    .sort((a, b) => a.createdAt - b.createdAt);
}

/** Whether a suspect has been left alone for long enough, as far as the list tells: it was made that long ago. */
export function isOldEnough({ container }: Suspect, { now, age }: Pick<LeakRules, 'now' | 'age'>): boolean {
  return now - container.createdAt >= age;
}

/** The judgement itself, on what an inspection of the container says right before its removal. */
export function judgeHelper(container: ContainerDetails, rules: LeakRules): Verdict {
  const kind = kindOfHelper(container.command);
  if (kind === undefined) return innocent('another command');
  if (!isFromAgentImage(container)) return innocent('another image');
  const owner = findOwner(container, rules.names);
  if (owner !== undefined) return innocent(owner);
  if (hasOwnLabel(container, rules.imageLabels)) return innocent('was given a label');
  // `--rm` excludes a restart policy: with one it is no helper, and might come back any time.
  if (!['', 'no'].includes(container.restartPolicy)) return innocent('restarts by itself');
  if (!['exited', 'created', 'dead'].includes(container.state)) return innocent('has not ended');
  const untouchedSince = Math.max(container.createdAt ?? Number.POSITIVE_INFINITY, container.finishedAt ?? 0);
  return rules.now - untouchedSince >= rules.age ? { leak: true, kind } : innocent('may still be in use');
}

/**
 * The same for a dead one that the engine lists and can't inspect (1.10.3 with overlay: 404 until it is gone). What the
 * list says of it stays true: nothing dead is ever started, or given another command or image.
 */
export function judgeDeadHelper(suspect: Suspect, rules: LeakRules): Verdict {
  if (suspect.container.state !== 'dead') return innocent('gone');
  if (!isFromAgentImage(suspect.container)) return innocent('another image');
  if (hasOwnLabel(suspect.container, rules.imageLabels)) return innocent('was given a label');
  return isOldEnough(suspect, rules) ? { leak: true, kind: suspect.kind } : innocent('may still be in use');
}

/** Whether a verdict depends on the labels of its image: only by them is it known which of its labels are its own. */
export function dependsOnImage({ image, labels: own }: Pick<ContainerDetails, 'image' | 'labels'>): boolean {
  return !isAgentImage(image) || Object.keys(own).some((name) => name !== labels.system);
}

/** Older entrypoints give no label: one that doesn't come from the image was typed by somebody. */
function hasOwnLabel(
  { labels: own }: Pick<ContainerDetails, 'labels'>,
  imageLabels: LeakRules['imageLabels'],
): boolean {
  return Object.entries(own).some(([name, value]) => {
    // Every agent image has this one; it is all there is to go by where the image has been removed.
    const isUsual = name === labels.system && value === 'rancher-agent' && imageLabels === undefined;
    return !isUsual && imageLabels?.[name] !== value;
  });
}

/** Its image by the name typed when it was made, or by the label that every agent image gives to its containers. */
function isFromAgentImage({ image, labels: own }: Pick<ContainerDetails, 'image' | 'labels'>): boolean {
  return own[labels.system] === 'rancher-agent' || isAgentImage(image);
}

/** How a list shows an image whose name means another one by now. Only an inspection tells what was typed. */
function isBareId(image: string): boolean {
  return /^(sha256:)?[0-9a-f]{12,64}$/.test(image);
}

/** Whose it is, if it isn't nobody's: a helper that leaks never got a name or a label of its own. */
function findOwner(
  { id, name, labels: own }: Pick<ContainerDetails, 'id' | 'name' | 'labels'>,
  names: RoleNames,
): Innocence | undefined {
  if (own[labels.role] !== undefined) return 'made by this entrypoint';
  if (isRoleName(name, names)) return 'has a name of ours';
  return isGeneratedName(name, id) ? undefined : 'was given a name';
}

function isRoleName(name: string, names: RoleNames): boolean {
  return Object.values(names).flat().includes(name);
}

/**
 * The names that engines make up: `adjective_surname`, with a digit when that was taken, and with thousands of them the
 * short id. A dead one may have lost its name.
 */
function isGeneratedName(name: string, id: string): boolean {
  return /^[a-z]+_[a-z]+\d?$/.test(name) || id.startsWith(name);
}

function isDeadState(state: ContainerState): boolean {
  return state === 'dead' || state === 'removing';
}

function innocent(because: Innocence): Verdict {
  return { leak: false, because };
}
