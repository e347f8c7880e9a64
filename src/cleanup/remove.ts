import { findKeyHolder, observeRoles } from '../agent/transaction/observe.ts';
import { isAgentContainer, type RoleNames } from '../agent/identity/roles.ts';
import type { ContainerSummary, Engine } from '../engine/engine.ts';
import { isEngineError } from '../engine/errors.ts';
import { EngineUnavailableError } from '../support/errors.ts';
import {
  dependsOnImage,
  findSuspects,
  judgeDeadHelper,
  judgeHelper,
  leftStates,
  type Innocence,
  type LeakRules,
  type Suspect,
  type Verdict,
} from './leaks.ts';

/** What became of a container that was to be removed. */
export type Fate =
  | { readonly kind: 'removed' }
  | { readonly kind: 'kept'; readonly because: Innocence }
  /** The engine said no, in its own words. */
  | { readonly kind: 'failed'; readonly originalMessage: string }
  /** The engine didn't answer: nobody knows what became of it. */
  | { readonly kind: 'unanswered'; readonly originalMessage: string; readonly error: EngineUnavailableError };

/** Whether a container may go. */
export type Judgement = { readonly leak: true } | { readonly leak: false; readonly because: Innocence };

/** The labels that an image gives to its containers; undefined if there is no such image. */
export type ImageLabels = (imageId: string) => Promise<Readonly<Record<string, string>> | undefined>;

/** The suspects on this host, by one list of everything that isn't running: takes seconds where there are thousands. */
export async function listSuspects(engine: Engine, names: RoleNames): Promise<readonly Suspect[]> {
  return findSuspects(await engine.listContainers({ states: leftStates }), names);
}

/** Asks for each image once: thousands of helpers come from a handful. */
export function createImageLabels(engine: Pick<Engine, 'inspectImage'>): ImageLabels {
  const known = new Map<string, Promise<Readonly<Record<string, string>> | undefined>>();
  return async (imageId) => {
    const asked = known.get(imageId) ?? engine.inspectImage(imageId).then((image) => image?.labels);
    known.set(imageId, asked);
    // An engine that stumbled may be asked again.
    asked.catch(() => known.delete(imageId));
    return asked;
  };
}

/**
 * Judges one suspect by an inspection.
 * @throws what the engine throws
 */
export async function judgeSuspect(
  engine: Engine,
  suspect: Suspect,
  rules: LeakRules,
  imageLabels: ImageLabels,
): Promise<Verdict> {
  const container = await engine.inspectContainer(suspect.container.id);
  const listed = container === undefined ? await findAgain(engine, suspect) : suspect;
  const judge = (all: LeakRules): Verdict =>
    container === undefined ? judgeDeadHelper(listed, all) : judgeHelper(container, all);
  const subject = container ?? suspect.container;
  const verdict = judge(rules);
  const isOpen = verdict.leak || verdict.because === 'was given a label';
  if (!isOpen || !dependsOnImage(subject)) return verdict;
  const given = await imageLabels(subject.imageId);
  return given === undefined ? verdict : judge({ ...rules, imageLabels: given });
}

/**
 * A suspect that can't be inspected, as the list has it now. Where a dead one can't be (1.10.3), it may have died since: its
 * removal was begun, and the engine restarted.
 */
async function findAgain(
  engine: Pick<Engine, 'features' | 'listContainers'>,
  suspect: Suspect,
): Promise<Suspect> {
  if (engine.features.deadInspection || suspect.container.state === 'dead') return suspect;
  const [found] = await engine.listContainers({ ids: [suspect.container.id] });
  return found === undefined ? suspect : { ...suspect, container: found };
}

/** A container that may have to go. */
export interface Judged {
  readonly id: string;
  /** Looks at it once more. @throws what the engine throws */
  readonly judge: () => Promise<Judgement>;
}

/**
 * Removes one container, if an inspection right before says that it may go. Never by force: should it have been started
 * in between, the engine itself refuses, and 1.10.3 would forget a dead one and leave its files behind. One try; volumes
 * stay.
 *
 * @throws NotPermittedError, and the signal's reason if the engine's connection was aborted
 */
export async function removeIf(engine: Engine, { id, judge }: Judged): Promise<Fate> {
  try {
    const verdict = await judge();
    if (!verdict.leak) return { kind: 'kept', because: verdict.because };
    await engine.removeContainer(id, { force: false });
    return { kind: 'removed' };
  } catch (error) {
    return fateOf(error);
  }
}

/** Removes one suspect, if it proves to be a leaked helper. @throws as `removeIf` */
export async function removeSuspect(
  engine: Engine,
  suspect: Suspect,
  rules: LeakRules,
  imageLabels: ImageLabels,
): Promise<Fate> {
  const judge = async (): Promise<Verdict> => judgeSuspect(engine, suspect, rules, imageLabels);
  return removeIf(engine, { id: suspect.container.id, judge });
}

/** What would become of a container if it were to be removed now. @throws as `removeSuspect` */
export async function judgeOnly(judge: () => Promise<Judgement>): Promise<Fate> {
  try {
    const verdict = await judge();
    return verdict.leak ? { kind: 'removed' } : { kind: 'kept', because: verdict.because };
  } catch (error) {
    return fateOf(error);
  }
}

/**
 * Whether a dead container with a name of ours may go, right now: nothing starts it again, and it holds its name. It stays
 * while it may be all that still has the host's keys.
 * @throws what the engine throws
 */
export async function classifyDead(
  engine: Engine,
  container: ContainerSummary,
  names: RoleNames,
  now: () => number,
): Promise<Judgement> {
  const found = await engine.inspectContainer(container.id);
  // 1.10.3 lists a dead one and can't inspect it (engine-notes §3); what the list says of it stays true.
  if (found === undefined && container.state !== 'dead') return { leak: false, because: 'gone' };
  if (found !== undefined && found.state !== 'dead') return { leak: false, because: 'has not ended' };
  if (!isAgentContainer(found ?? container)) return { leak: false, because: 'another image' };
  const holder = findKeyHolder(await observeRoles(engine, names, now));
  const hasKeys = holder?.environment['CATTLE_SECRET_KEY'] !== undefined && !holder.isDead;
  return hasKeys ? { leak: true } : { leak: false, because: 'may hold the only keys' };
}

function fateOf(error: unknown): Fate {
  // It runs again, or somebody else is removing it.
  if (isEngineError(error, 'conflict')) return { kind: 'kept', because: 'gone' };
  if (isEngineError(error)) return { kind: 'failed', originalMessage: error.originalMessage };
  if (error instanceof EngineUnavailableError)
    return { kind: 'unanswered', originalMessage: error.message, error };
  throw error;
}
