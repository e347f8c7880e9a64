import { findKeyHolder, observeRoles } from '../agent/transaction/observe.ts';
import type { Host } from '../agent/host.ts';
import type { RoleNames } from '../agent/identity/roles.ts';
import { isWorkerRunning } from '../agent/worker/client.ts';
import type { Engine } from '../engine/engine.ts';
import { isEngineError } from '../engine/errors.ts';
import type { Clock } from '../support/clock.ts';
import { EngineUnavailableError } from '../support/errors.ts';
import { fixedLimits } from '../support/limits/fixed.ts';
import type { Limits } from '../support/limits/limits.ts';
import {
  classifyDead,
  classifyDeadHelper,
  classifyHelper,
  dependsOnImage,
  findLeaks,
  keep,
  leftStates,
  type Classification,
  type HelperKind,
  type KeepReason,
  type Labelled,
  type LeakRules,
  type Suspect,
} from './leaks.ts';

/** The result for one container. */
export type RemovalResult =
  | { readonly kind: 'removed' }
  /** Of a dry run: it is a leak, and nobody has touched it. */
  | { readonly kind: 'would-remove' }
  | { readonly kind: 'kept'; readonly reason: KeepReason }
  /** The engine refused, with this message. */
  | { readonly kind: 'failed'; readonly originalMessage: string }
  /** The engine did not answer: it is unknown whether the container was removed. */
  | { readonly kind: 'unanswered'; readonly originalMessage: string; readonly error: EngineUnavailableError };

/** One try for one container. */
export type Remove = (suspect: Suspect) => Promise<RemovalResult>;

/** The labels that an image gives to its containers; undefined if there is no such image. */
export type ImageLabels = (imageId: string) => Promise<Readonly<Record<string, string>> | undefined>;

export interface RemoverView extends Pick<Host, 'engine' | 'names'> {
  /** SWEEP_AGE counts here. */
  readonly limits: Pick<Limits, 'SWEEP_AGE'>;
  readonly clock: Pick<Clock, 'now'>;
}

/**
 * The suspected helpers on this host, by one list of all containers that do not run: this takes seconds if there are
 * thousands.
 */
export async function listLeaks(
  engine: Pick<Engine, 'listContainers'>,
  names: RoleNames,
): Promise<readonly Suspect<HelperKind>[]> {
  return findLeaks(await engine.listContainers({ states: leftStates }), names);
}

/**
 * Removes one suspect, if an inspection right before proves that it is a leak. Never by force: so the engine refuses if
 * somebody starts it in between, and 1.10.3 does not forget a dead container and leave its files behind. One try; volumes
 * are kept.
 *
 * The function that it returns throws NotPermittedError, and the signal's reason if the engine's connection was aborted.
 */
export function createRemover(view: RemoverView): Remove {
  return createAction(view, async (id) => {
    await view.engine.removeContainer(id, { force: false });
    return { kind: 'removed' };
  });
}

/** The same for a dry run: classifies each suspect as a removal does, and removes nothing. */
export function createDryRun(view: RemoverView): Remove {
  return createAction(view, async () => Promise.resolve({ kind: 'would-remove' }));
}

function createAction(view: RemoverView, act: (id: string) => Promise<RemovalResult>): Remove {
  const imageLabels = createImageLabels(view.engine);
  return async (suspect) => {
    try {
      const classification = await classify(view, suspect, imageLabels);
      if (classification.class === 'not-a-leak') return { kind: 'kept', reason: classification.reason };
      return await act(suspect.container.id);
    } catch (error) {
      return resultOf(error);
    }
  };
}

/** Classifies one suspect by an inspection. @throws what the engine throws */
async function classify(
  view: RemoverView,
  { kind, container }: Suspect,
  imageLabels: ImageLabels,
): Promise<Classification> {
  const { engine, names, clock, limits } = view;
  if (kind === 'dead') return inspectDead(view, container);
  const rules = { names, now: clock.now(), age: limits.SWEEP_AGE };
  return inspectHelper(engine, { kind, container }, rules, imageLabels);
}

/** A dead container is kept while it may be the only one with the agent keys. */
async function inspectDead(
  { engine, names, clock }: RemoverView,
  container: Suspect['container'],
): Promise<Classification> {
  // A transaction may be removing the same container, and it relies on what it has observed.
  if (await isWorkerRunning({ engine, names })) return keep('may still be in use');
  const classification = classifyDead(container, await engine.inspectContainer(container.id));
  if (classification.class === 'not-a-leak') return classification;
  const holder = findKeyHolder(await observeRoles(engine, names, () => clock.now()));
  const hasKeys = holder?.environment['CATTLE_SECRET_KEY'] !== undefined && !holder.isDead;
  return hasKeys ? classification : keep('may hold the only keys');
}

async function inspectHelper(
  engine: Engine,
  suspect: Suspect<HelperKind>,
  rules: LeakRules,
  imageLabels: ImageLabels,
): Promise<Classification> {
  const container = await engine.inspectContainer(suspect.container.id);
  const listed = container === undefined ? await findAgain(engine, suspect) : suspect;
  const classifyWith = (all: LeakRules): Classification =>
    container === undefined ? classifyDeadHelper(listed, all) : classifyHelper(container, all);
  const subject: Labelled & { readonly imageId: string } = container ?? listed.container;
  const first = classifyWith(rules);
  const isOpen = first.class !== 'not-a-leak' || first.reason === 'was given a label';
  if (!isOpen || !dependsOnImage(subject)) return first;
  const given = await imageLabels(subject.imageId);
  return given === undefined ? first : classifyWith({ ...rules, imageLabels: given });
}

/**
 * A suspect that cannot be inspected, as the list shows it now. Where an engine cannot inspect dead containers (1.10.3), it
 * may be dead since: its removal had begun, and the engine restarted. A list by id also shows all its labels.
 */
async function findAgain(
  engine: Pick<Engine, 'features' | 'listContainers'>,
  suspect: Suspect<HelperKind>,
): Promise<Suspect<HelperKind>> {
  const { state, hasOtherLabels = false } = suspect.container;
  if (engine.features.deadInspection || (state === 'dead' && !hasOtherLabels)) return suspect;
  const [found] = await engine.listContainers({ ids: [suspect.container.id] });
  return found === undefined ? suspect : { ...suspect, container: found };
}

/** Asks for each image once: thousands of helpers come from a few images. */
function createImageLabels(engine: Pick<Engine, 'inspectImage'>): ImageLabels {
  const known = new Map<string, ReturnType<ImageLabels>>();
  return async (imageId) => {
    const asked = known.get(imageId) ?? askForLabels(engine, imageId);
    known.set(imageId, asked);
    // A failed request may be repeated.
    asked.catch(() => known.delete(imageId));
    const [first] = known.keys();
    if (known.size > fixedLimits.IMAGES_KNOWN && first !== undefined) known.delete(first);
    return asked;
  };
}

/** Anybody can build an image with any number of labels: of such an image none count, and its containers are kept. */
async function askForLabels(engine: Pick<Engine, 'inspectImage'>, imageId: string): ReturnType<ImageLabels> {
  const image = await engine.inspectImage(imageId);
  if (image === undefined) return undefined;
  const size = Object.entries(image.labels).reduce(
    (sum, [name, value]) => sum + name.length + value.length,
    0,
  );
  return size > fixedLimits.IMAGE_LABELS ? {} : image.labels;
}

function resultOf(error: unknown): RemovalResult {
  // It runs again, or another process is removing it.
  if (isEngineError(error, 'conflict')) return { kind: 'kept', reason: 'gone' };
  if (isEngineError(error)) return { kind: 'failed', originalMessage: error.originalMessage };
  if (error instanceof EngineUnavailableError)
    return { kind: 'unanswered', originalMessage: error.message, error };
  throw error;
}
