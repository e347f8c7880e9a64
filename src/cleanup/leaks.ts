import { claimsToBeManaged, isManaged, isManagedRestarter } from '../agent/identity/managed.ts';
import { isAgentImage, labels, type RoleNames } from '../agent/identity/roles.ts';
import { isDead } from '../engine/containers.ts';
import type { ContainerDetails, ContainerState, ContainerSummary } from '../engine/engine.ts';

/*
 * What counts as a leaked helper of the legacy entrypoint. The legacy entrypoint starts its helpers with `docker run --rm`.
 * Below API 1.25 the client removes them, so a killed client leaves one behind (incident §2.2). Everything here is pure and
 * strict: a container is kept unless its command, image, name and state all prove that it is such a helper.
 */

/**
 * The helpers that leak, by the command they were given. Read from all 107 versions of upstream's `agent/run.sh` and
 * from PastureStack's: `run … IMAGE inspect-host`, `run … IMAGE -- /usr/bin/share-mnt FOLDER… -- norun` and, in v1.0 where
 * the server was given as localhost, `run … IMAGE -- ip route get 8.8.8.8`; always below the image's own `/run.sh`.
 */
export type HelperKind = 'inspect-host' | 'share-mnt' | 'find-gateway';

/** A container in these states does not run. Newer engines may list a dead one as `removing` for ever. */
export const leftStates: readonly ContainerState[] = ['exited', 'created', 'dead', 'removing'];

/**
 * A container that a cleanup may remove, as the list shows it. `dead` is a dead container with a name of a role; the
 * others look like leaked helpers. The list alone proves nothing: `classify…` decides right before the removal.
 */
export interface Suspect<Kind = HelperKind | 'dead'> {
  readonly kind: Kind;
  readonly container: ContainerSummary;
}

export interface LeakRules {
  /** Containers with one of these names are managed, whatever else they are. */
  readonly names: RoleNames;
  /** Milliseconds since 1970, by the host's clock. */
  readonly now: number;
  /** A helper that was created, or has exited, less than this many ms ago may still be in use. */
  readonly age: number;
  /** The labels that its image gives to its containers; left out while they are not known, or if the image is gone. */
  readonly imageLabels?: Readonly<Record<string, string>>;
}

/** Why a container is kept. JSON and screens show these words. */
export type KeepReason =
  | 'another command'
  | 'another image'
  | 'not managed'
  | 'created by this entrypoint'
  | 'has a managed name'
  | 'was given a name'
  | 'was given a label'
  | 'has a restart policy'
  | 'has not exited'
  | 'may still be in use'
  /** A dead managed container, and no other agent on this host has keys. */
  | 'may hold the only keys'
  /** Another process has removed it, or is removing it. */
  | 'gone';

/** What a container is, by the last inspection before its removal. */
export type Classification =
  | { readonly class: 'leaked-helper'; readonly kind: HelperKind }
  /** A dead managed container that may be removed. */
  | { readonly class: 'dead' }
  | { readonly class: 'not-a-leak'; readonly reason: KeepReason };

const findGateway = ['/run.sh', '--', 'ip', 'route', 'get', '8.8.8.8'];

/**
 * The helper that a command, entrypoint first, belongs to. Exact: a container with one argument more or less belongs to a
 * person.
 */
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
 * The suspects in a list, in the order in which they are to be removed: oldest first, but dead ones last. Their removal has
 * failed before, and a few of them at the front would keep every start from removing the others.
 *
 * @param listed in the engine's order, newest first: this keeps the order of those created in the same second
 */
export function findLeaks(
  listed: readonly ContainerSummary[],
  names: RoleNames,
): readonly Suspect<HelperKind>[] {
  const suspects = listed.flatMap((container): Suspect<HelperKind>[] => {
    const kind = kindOfHelper(container.command.split(' '));
    if (kind === undefined || !leftStates.includes(container.state)) return [];
    if (!isFromAgentImage(container) && !isBareId(container.image)) return [];
    return findOwner(container, names) === undefined ? [{ kind, container }] : [];
  });
  const rank = ({ container }: Suspect): number => (isDead(container) ? 1 : 0);
  return suspects
    .reverse()
    .sort((a, b) => rank(a) - rank(b) || a.container.createdAt - b.container.createdAt);
}

/** Dead containers with a managed name: removing them failed before, and they hold their names. Oldest first. */
export function findDead(listed: readonly ContainerSummary[], names: RoleNames): readonly Suspect<'dead'>[] {
  return listed
    .filter((container) => isDead(container) && isRoleName(container.name, names))
    .sort((a, b) => a.createdAt - b.createdAt)
    .map((container) => ({ kind: 'dead', container }));
}

/** Whether a suspect is old enough, as far as the list shows: it was created that long ago. */
export function isOldEnough({ container }: Suspect, { now, age }: Pick<LeakRules, 'now' | 'age'>): boolean {
  return now - container.createdAt >= age;
}

/** Classifies a suspected helper by an inspection of its container right before its removal. */
export function classifyHelper(container: ContainerDetails, rules: LeakRules): Classification {
  const kind = kindOfHelper(container.command);
  if (kind === undefined) return keep('another command');
  if (!isFromAgentImage(container)) return keep('another image');
  const owner = findOwner(container, rules.names);
  if (owner !== undefined) return keep(owner);
  if (hasOwnLabel(container, rules.imageLabels)) return keep('was given a label');
  // `--rm` excludes a restart policy: a container with one is not a helper, and the engine may start it again at any time.
  if (!['', 'no'].includes(container.restartPolicy)) return keep('has a restart policy');
  if (!['exited', 'created', 'dead'].includes(container.state)) return keep('has not exited');
  const untouchedSince = Math.max(container.createdAt ?? Number.POSITIVE_INFINITY, container.finishedAt ?? 0);
  return rules.now - untouchedSince >= rules.age
    ? { class: 'leaked-helper', kind }
    : keep('may still be in use');
}

/**
 * The same for a dead helper that the engine lists and cannot inspect (1.10.3 with overlay: 404 until it is gone). The list
 * stays true: nobody can start a dead container, or give it another command or image.
 */
export function classifyDeadHelper(suspect: Suspect<HelperKind>, rules: LeakRules): Classification {
  if (suspect.container.state !== 'dead') return keep('gone');
  if (!isFromAgentImage(suspect.container)) return keep('another image');
  if (hasOwnLabel(suspect.container, rules.imageLabels)) return keep('was given a label');
  return isOldEnough(suspect, rules)
    ? { class: 'leaked-helper', kind: suspect.kind }
    : keep('may still be in use');
}

/**
 * Classifies a dead container with a managed name: nobody can start it again, and it holds its name.
 * @param found by an inspection; undefined where the engine cannot inspect it
 */
export function classifyDead(listed: ContainerSummary, found: ContainerDetails | undefined): Classification {
  if (found === undefined) {
    // 1.10.3 lists a dead container and cannot inspect it (engine-notes §3); what the list shows stays true.
    if (listed.state !== 'dead') return keep('gone');
    return claimsToBeManaged(listed) ? { class: 'dead' } : keep('not managed');
  }
  if (found.state !== 'dead') return keep('has not exited');
  return isManaged(found) || isManagedRestarter(found) ? { class: 'dead' } : keep('not managed');
}

/** A container that is not a leak, and why. */
export function keep(reason: KeepReason): Classification {
  return { class: 'not-a-leak', reason };
}

/** Whether a classification depends on the image: only its labels show which labels are the container's own. */
export function dependsOnImage({ image, labels: own }: Labelled): boolean {
  return !isAgentImage(image) || Object.keys(own).some((name) => name !== labels.system);
}

/** A container as an inspection or a list shows it. */
export type Labelled = Pick<ContainerSummary, 'image' | 'labels' | 'hasOtherLabels'>;

/** The legacy entrypoint gives no label: one that does not come from the image was given by a person. */
function hasOwnLabel(
  { labels: own, hasOtherLabels = false }: Pick<Labelled, 'labels' | 'hasOtherLabels'>,
  imageLabels: LeakRules['imageLabels'],
): boolean {
  // They cannot be compared, so one of them may be its own.
  if (hasOtherLabels) return true;
  return Object.entries(own).some(([name, value]) => {
    // Every agent image has this label. If the image was removed, nothing else proves where the container comes from.
    const isUsual = name === labels.system && value === 'rancher-agent' && imageLabels === undefined;
    return !isUsual && imageLabels?.[name] !== value;
  });
}

/** Its image by the name given at its creation, or by the label that every agent image gives to its containers. */
function isFromAgentImage({ image, labels: own }: Pick<ContainerDetails, 'image' | 'labels'>): boolean {
  return own[labels.system] === 'rancher-agent' || isAgentImage(image);
}

/** How a list shows an image whose name has moved to another one. Only an inspection shows the name that was given. */
function isBareId(image: string): boolean {
  return /^(sha256:)?[0-9a-f]{12,64}$/.test(image);
}

/** Why a container has an owner; undefined if it has none: a leaked helper never got a name or a label of its own. */
function findOwner(
  { id, name, labels: own }: Pick<ContainerDetails, 'id' | 'name' | 'labels'>,
  names: RoleNames,
): KeepReason | undefined {
  if (own[labels.role] !== undefined) return 'created by this entrypoint';
  if (isRoleName(name, names)) return 'has a managed name';
  return isGeneratedName(name, id) ? undefined : 'was given a name';
}

function isRoleName(name: string, names: RoleNames): boolean {
  return Object.values(names).flat().includes(name);
}

/**
 * The names that engines generate: `adjective_surname`, with a digit when that was taken, and with thousands of them the
 * short id. A dead container may have lost its name.
 */
function isGeneratedName(name: string, id: string): boolean {
  return /^[a-z]+_[a-z]+\d?$/.test(name) || id.startsWith(name);
}
