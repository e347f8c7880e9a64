import type { Environment } from '../../support/configuration.ts';
import { ConfigurationError } from '../../support/errors.ts';
import { addEnvironmentSecrets } from '../../support/secrets.ts';
import { followProfile } from './follow-profile.ts';
import { findKeyHolder, observeRoles } from '../transaction/observe.ts';
import type { Outcome } from '../report/outcome.ts';
import { keepIdentity, requireSameIdentity } from './identity-guard.ts';
import { prepareTarget, replaceAgent } from './replace-agent.ts';
import { findStateContainer } from './state-container.ts';
import { requireKeptServer } from '../origin/of-holder.ts';
import { requireOwnNames } from '../transaction/unmanaged.ts';
import { inspectForAgent, type Work } from './session.ts';
import { readOwnership } from './request.ts';

/**
 * The worker's `upgrade`: creates the agent from another image, with its present keys and settings.
 * @param targetImage the image that the agent is to be created from
 * @throws ConfigurationError when there is no agent to take the keys from; OtherServerError when they are for another server
 */
export async function upgradeAgent(given: Work, targetImage: string): Promise<Outcome> {
  const info = await given.engine.readInfo();
  const { adopt, own } = readOwnership(given.configuration.environment, given.container);
  const target = await prepareTarget(given, targetImage, info, await readPresentEnvironment(given, adopt));
  const work = followProfile(given, target);
  const { engine, names, clock, secrets, reporter } = work;
  const adopted = adopt ? new Set<string>() : undefined;
  const observation = await observeRoles(engine, names, () => clock.now(), adopted);
  requireOwnNames(observation, own);
  const holder = findKeyHolder(observation);
  if (holder === undefined) {
    throw new ConfigurationError('there is no agent on this host to upgrade', {
      hint: 'register this host first: docker run … IMAGE https://SERVER/v1/scripts/TOKEN',
    });
  }
  addEnvironmentSecrets(secrets, holder.environment);
  await requireKeptServer(work, observation, holder);
  const [facts] = await Promise.all([
    inspectForAgent(work, info),
    reporter.working('inspecting the host', 'preflight'),
  ]);
  // The content of a state container stays where it is, whether or not the host's folder can be written.
  const state = await findStateContainer(engine, names);
  if (state === undefined) requireSameIdentity(holder, facts);
  const { environment } = holder;
  const kept = state === undefined ? keepIdentity(holder, facts) : facts;
  return replaceAgent(work, { target, environment, facts: kept, info, observation, waitsOutBackOff: true });
}

/** The agent's own environment says too which images are allowed, before an image is pulled. */
async function readPresentEnvironment(work: Work, adopt: boolean): Promise<Environment> {
  const { engine, names, clock } = work;
  const adopted = adopt ? new Set<string>() : undefined;
  const observation = await observeRoles(engine, names, () => clock.now(), adopted);
  return findKeyHolder(observation)?.environment ?? {};
}
