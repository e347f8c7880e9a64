import { shortId } from '../../engine/containers.ts';
import type { ContainerSpec } from '../../engine/engine.ts';
import { labels } from '../identity/roles.ts';
import { chooseNext, everyone, oldAgents, type Observation, type Observed } from '../transaction/observe.ts';

/*
 * The last copy of the host's keys is never removed. The keys exist only in the environments of containers, so no container may
 * take the place of an agent unless it has the same keys, or one of the two was created to replace the other.
 */

/** Whether a container may take the agent's place, or be removed for it: the host then still has its keys. */
export function isKin(a: Observed, b: Observed): boolean {
  return keyOf(a) === keyOf(b) || replaces(a, b) || replaces(b, a);
}

/** The specification of a next agent, which says whom it replaces if it has other keys: a new registration has given them. */
export function withReplaced(spec: ContainerSpec, observation: Observation): ContainerSpec {
  const key = spec.environment['CATTLE_ACCESS_KEY'];
  const ids = replacedBy(observation)
    .filter((old) => keyOf(old) !== key)
    .map(({ id }) => shortId(id));
  if (ids.length === 0) return spec;
  return { ...spec, labels: { ...spec.labels, [labels.replaces]: ids.join(',') } };
}

/** Containers whose keys are not this host's, and what they are, for a person. */
export function keptForPersons(
  observation: Observation,
  isRefused: (container: Observed) => boolean,
): readonly { readonly name: string; readonly why: string }[] {
  const { agent } = observation;
  const olds = oldAgents(observation).filter(isPrincipal);
  const refused = everyone(observation).filter(
    (each) => each !== agent && isPrincipal(each) && isRefused(each),
  );
  const others =
    agent === undefined ? [] : olds.filter((old) => isOfOthers(old, agent) && !refused.includes(old));
  return [
    ...refused.map(({ name }) => ({
      name,
      why: 'keys of another server than the one that this host belongs to',
    })),
    ...others.map(({ name }) => ({ name, why: 'other keys than the agent' })),
  ];
}

/** Whether an old agent holds other keys than the active one, and neither was created to replace the other. */
export function isOfOthers(old: Observed, agent: Observed): boolean {
  return isPrincipal(agent) && isPrincipal(old) && !old.removalStarted && !isKin(agent, old);
}

/** Whether an agent's keys are the host's: those of one that is dead, or adopted by `--force`, are not compared with. */
function isPrincipal(agent: Observed): boolean {
  return agent.managed && !agent.isDead && agent.adopted !== true;
}

/** The observation, in which containers with refused keys are unmanaged. The agent stays as it is. */
export function withoutRefused(
  observation: Observation,
  isRefused: (container: Observed) => boolean,
): Observation {
  const judge = <T extends Observed | undefined>(container: T): T =>
    container?.managed === true && container.adopted !== true && isRefused(container)
      ? { ...container, managed: false }
      : container;
  const { nexts, legacy, previous } = observation;
  return {
    ...observation,
    legacy: legacy.map(judge),
    ...chooseNext(nexts.map(judge)),
    previous: previous.map(judge),
  };
}

/** The agent; without one those that run, else all that could. */
function replacedBy(observation: Observation): readonly Observed[] {
  const { agent } = observation;
  if (agent?.managed === true) return [agent];
  const olds = oldAgents(observation).filter((old) => old.managed);
  const running = olds.filter(({ state }) => state === 'running' || state === 'restarting');
  return running.length > 0 ? running : olds;
}

function replaces(next: Observed, old: Observed): boolean {
  return (next.labels?.[labels.replaces] ?? '').split(',').includes(shortId(old.id));
}

function keyOf({ environment }: Observed): string | undefined {
  return environment['CATTLE_ACCESS_KEY'];
}
