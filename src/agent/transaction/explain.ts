import { describeContainer } from '../../engine/containers.ts';
import { daemonLogHint, isEngineError, isNoSpace, noSpaceHint } from '../../engine/errors.ts';
import {
  CannotChangeError,
  EngineUnavailableError,
  EntrypointError,
  messageOf,
} from '../../support/errors.ts';
import { agentDoesNotRun, nextDoesNotRun } from './not-ready.ts';
import { allNamesTaken, roleNameTaken } from '../identity/role-name-taken.ts';
import type { RoleNames } from '../identity/roles.ts';
import type { Observation, Observed } from './observe.ts';
import type { Fail, Step } from './steps.ts';

/** What stopped an observation. */
export function asUnavailable(error: Error): EngineUnavailableError {
  if (error instanceof EngineUnavailableError) return error;
  return new EngineUnavailableError(`cannot inspect the agent's containers: ${error.message}`, {
    hint: hintFor(error),
    cause: error,
  });
}

/** What stopped a step, as an error with a hint for a person. */
export function explainStep(step: Step, error: unknown): Error {
  if (error instanceof EntrypointError && !isEngineError(error)) return error;
  const subject = 'container' in step ? step.container.name : 'the next agent';
  const originalMessage = isEngineError(error) ? error.originalMessage : messageOf(error);
  return new CannotChangeError(`cannot ${verbs[step.do]} ${subject}`, {
    originalMessage,
    hint: hintFor(error),
    cause: error,
  });
}

const verbs: Readonly<Record<Step['do'], string>> = {
  'create-next': 'create',
  start: 'start',
  standby: 'bring up',
  ready: 'bring up',
  stop: 'stop',
  park: 'park',
  promote: 'promote',
  demote: 'take back',
  verify: 'verify',
  watch: 'watch the bootstrap of',
  'restore-policy': 'restore the restart policy of',
  discard: 'remove',
  done: 'finish',
  fail: 'finish',
};

function hintFor(error: unknown): string {
  if (isEngineError(error) && isNoSpace(error.originalMessage)) {
    return noSpaceHint;
  }
  if (isEngineError(error, 'conflict'))
    return 'docker ps -a shows who has the name; remove or rename that container';
  return daemonLogHint;
}

/** Why no plan leads to the goal. */
export function explainFailure(
  { why, container }: Pick<Fail, 'why' | 'container'>,
  observation: Pick<Observation, 'nexts' | 'previous'>,
  names: Pick<RoleNames, 'nexts' | 'previous'>,
): Error {
  const name = container === undefined ? '' : describeContainer(container);
  switch (why) {
    case 'unmanaged-in-role':
      return roleNameTaken(container ?? nobody, true);
    case 'next-names-taken':
      return namesTaken('create the next agent', observation.nexts, names.nexts);
    case 'parked-names-taken':
      return namesTaken('park the old agent', observation.previous, names.previous);
    case 'next-does-not-run':
      return nextDoesNotRun(container ?? nobody, describeEnd(container));
    case 'agent-does-not-run':
      return agentDoesNotRun(container ?? nobody, describeEnd(container));
    case 'other-agent-does-not-stop':
      return new CannotChangeError(`another agent runs on this host and cannot be stopped: ${name}`, {
        hint: `its process does not exit; ${daemonLogHint}`,
      });
    case 'name-not-free':
      return new CannotChangeError(`a container cannot be renamed: ${name}`, {
        hint: 'if it is dead, the storage is faulty: see the runbook, "a container cannot be removed"',
      });
    case 'no-agent':
      return new CannotChangeError('there is no agent on this host and nothing to create one from', {
        hint: 'register this host again, with the command of "Add Host" on the server',
      });
  }
}

/** Dead and unmanaged containers hold names; a person can free those of the latter at once. */
function namesTaken(
  what: string,
  holders: readonly (Observed | undefined)[],
  names: readonly string[],
): CannotChangeError {
  const unmanaged = holders.filter((holder): holder is Observed => holder?.managed === false);
  if (unmanaged.length > 0) return allNamesTaken(what, unmanaged);
  return new CannotChangeError(
    `cannot ${what}: ${names.join(', ')} are taken by containers that cannot be removed`,
    { hint: 'usually the storage is faulty: see the runbook, "a container cannot be removed"' },
  );
}

/** A plan that fails because of an agent always names that agent. */
const nobody = { name: 'an agent', id: '', image: '' };

function describeEnd(container: Observed | undefined): string {
  return `state ${container?.state ?? 'unknown'}, restarted ${container?.restartCount ?? 0} times`;
}
