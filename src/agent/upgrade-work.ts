import { ConfigurationError } from '../support/errors.ts';
import { addEnvironmentSecrets } from '../support/secrets.ts';
import { findKeyHolder, observeRoles } from './observe.ts';
import type { Outcome } from './outcome.ts';
import { requireSameIdentity } from './identity-guard.ts';
import { prepareTarget, replaceAgent } from './replacement.ts';
import { requireOwnNames } from './strangers.ts';
import { inspectForAgent, type Work } from './work.ts';
import { readHands } from './worker-request.ts';

/**
 * The worker's `upgrade`: the agent, with the keys and settings it has, made from another image.
 * @param reference the image wanted
 * @throws ConfigurationError when there is no agent whose keys could be taken over
 */
export async function upgradeAgent(work: Work, reference: string): Promise<Outcome> {
  const { engine, names, clock, secrets, reporter, configuration } = work;
  const info = await engine.readInfo();
  const target = await prepareTarget(work, reference, info);
  const { adopt, own } = readHands(configuration.environment, work.container);
  const observation = await observeRoles(engine, names, () => clock.now(), adopt);
  requireOwnNames(observation, own);
  const holder = findKeyHolder(observation);
  if (holder === undefined) {
    throw new ConfigurationError('there is no agent on this host to upgrade', {
      hint: 'register this host first: docker run … IMAGE http://SERVER:8080/v1/scripts/TOKEN',
    });
  }
  addEnvironmentSecrets(secrets, holder.environment);
  await reporter.working('looking at the host', 'preflight');
  const facts = await inspectForAgent(work, info);
  requireSameIdentity(holder.binds, facts);
  return replaceAgent(work, { target, environment: holder.environment, facts, observation, cooling: true });
}
