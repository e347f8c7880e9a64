import type { RoleNames } from '../agent/roles.ts';
import type { Engine } from '../engine/engine.ts';
import { isEngineError } from '../engine/errors.ts';
import { EngineUnavailableError } from '../support/errors.ts';
import {
  findSuspects,
  judgeDeadHelper,
  judgeHelper,
  leftStates,
  type Innocence,
  type LeakRules,
  type Suspect,
  type Verdict,
} from './leaks.ts';

/** What became of a suspect. */
export type Fate =
  | { readonly kind: 'removed' }
  | { readonly kind: 'kept'; readonly because: Innocence }
  /** In the engine's own words, or why it said none. */
  | { readonly kind: 'failed'; readonly said: string };

/** The suspects on this host, by one list of everything that isn't running: takes seconds where there are thousands. */
export async function listSuspects(engine: Engine, names: RoleNames): Promise<readonly Suspect[]> {
  return findSuspects(await engine.listContainers({ states: leftStates }), names);
}

/**
 * Removes one suspect, if an inspection right before proves it a leaked helper. Never by force: should it have been
 * started in between, the engine itself refuses. One try; anonymous volumes stay.
 *
 * @throws NotPermittedError, and the signal's reason if the engine's connection was aborted
 */
export async function removeSuspect(engine: Engine, suspect: Suspect, rules: LeakRules): Promise<Fate> {
  try {
    const verdict = await judge(engine, suspect, rules);
    if (!verdict.leak) return { kind: 'kept', because: verdict.because };
    await engine.removeContainer(suspect.container.id, { force: false });
    return { kind: 'removed' };
  } catch (error) {
    // It runs again, or somebody else is removing it.
    if (isEngineError(error, 'conflict')) return { kind: 'kept', because: 'gone' };
    if (isEngineError(error)) return { kind: 'failed', said: error.said };
    if (error instanceof EngineUnavailableError) return { kind: 'failed', said: error.message };
    throw error;
  }
}

async function judge(engine: Engine, suspect: Suspect, rules: LeakRules): Promise<Verdict> {
  const container = await engine.inspectContainer(suspect.container.id);
  return container === undefined ? judgeDeadHelper(suspect, rules) : judgeHelper(container, rules);
}
