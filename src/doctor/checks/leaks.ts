import { formatAge } from '../../support/deadline.ts';
import type { LeakFigures } from '../../cleanup/leak-figures.ts';
import { fine, unseen, type Figures, type Finding } from '../finding.ts';
import type { AgentSnapshot, HostSnapshot } from '../snapshot.ts';
import { nameOf } from './agents.ts';

/** What the legacy entrypoint leaked, whether it still leaks, why, and which agent causes it. */
export function checkLeaks(snapshot: Pick<HostSnapshot, 'leaks' | 'agents'>): readonly Finding[] {
  if (!snapshot.leaks.known) return [unseen('leaks', snapshot.leaks)];
  const leaks = snapshot.leaks.value;
  const figures = figuresOf(leaks);
  if (leaks.total === 0) return [checkLegacyAgent(snapshot, figures)];
  const details = [describeCauses(leaks)];
  const oldest = formatAge(leaks.oldest ?? 0);
  const youngest = formatAge(leaks.youngest ?? 0);
  if (!leaks.leaking) {
    const text = `${count(leaks.total)}, created ${youngest} to ${oldest} ago; none now`;
    const advice =
      'Nothing creates new ones. The agent removes 50 at each start; `cleanup` removes all at once.';
    return [{ check: 'leaks', level: 'warning', text, cause: 'leaked-before', advice, details, figures }];
  }
  const makers = findMakers(snapshot);
  const text = `${count(leaks.total)}, ${leaks.lastHour} in the last hour, the last one ${youngest} ago: STILL LEAKING`;
  return [
    {
      check: 'leaks',
      level: 'unhealthy',
      text,
      cause: 'leaking-now',
      details: [...details, ...makers.map(describeMaker), ...(makers.length === 0 ? [nobody] : [])],
      advice: adviceFor(makers),
      figures: { ...figures, makers: makers.map(({ name }) => name).join(' ') },
    },
  ];
}

const nobody = 'created by: no agent with the legacy entrypoint runs here now';

/** Running agents with the legacy entrypoint: they start helpers with a client that may be killed. */
function findMakers({ agents }: Pick<HostSnapshot, 'agents'>): readonly AgentSnapshot[] {
  if (!agents.known) return [];
  const loops = agents.value.filter(
    ({ managed, ownEntrypoint, role, state }) =>
      managed &&
      !ownEntrypoint &&
      role !== 'worker' &&
      role !== 'upgrade' &&
      ['running', 'restarting', 'paused'].includes(state),
  );
  if (loops.length > 0) return loops;
  return agents.value.filter(
    ({ managed, ownEntrypoint, role }) => managed && !ownEntrypoint && role === 'upgrade',
  );
}

function describeMaker(agent: AgentSnapshot): string {
  const server = agent.server === undefined ? '' : `, whose upgrades ${agent.server} requires`;
  const how = agent.role === 'upgrade' ? 'the upgrade' : 'the loop of a legacy agent';
  return `created by: ${how}, ${nameOf(agent)}, ${agent.image}${server}`;
}

function adviceFor(makers: readonly AgentSnapshot[]): string {
  const [maker] = makers;
  if (maker === undefined) {
    return 'Find out what starts upgrades: docker events --filter event=create. Then run `cleanup`.';
  }
  return `Set bootstrap.required.image on the server to an image with this entrypoint, then run \`upgrade\`, then \`cleanup\`. If the engine is too slow for that: docker stop ${maker.name} first; your containers keep running.`;
}

/** No leaks yet: the next upgrade by such an agent may leak. */
function checkLegacyAgent(snapshot: Pick<HostSnapshot, 'agents'>, figures: Figures): Finding {
  const [maker] = findMakers(snapshot);
  if (maker === undefined) return fine('leaks', 'no leaked helpers', figures);
  return {
    check: 'leaks',
    level: 'warning',
    text: `no leaked helpers, but ${nameOf(maker)} has the legacy entrypoint (${maker.image}): its upgrades may leak`,
    cause: 'legacy-entrypoint',
    advice: 'Upgrade it to an image with this entrypoint.',
    figures,
  };
}

function describeCauses({ exited, neverStarted, dead, byKind }: LeakFigures): string {
  const states = [
    [exited, 'exited, and the client that should have removed them was killed'],
    [neverStarted, 'never started: the client, or the engine, was killed in between'],
    [dead, 'dead: the engine could not remove them'],
  ] as const;
  const kinds = Object.entries(byKind).filter(([, number]) => number > 0);
  const causes = states.filter(([number]) => number > 0).map(([number, why]) => `${number} ${why}`);
  return `${kinds.map(([kind, number]) => `${number} ${kind}`).join(', ')}: ${causes.join('; ')}`;
}

function count(total: number): string {
  return total === 1 ? '1 leaked helper' : `${total} leaked helpers`;
}

function figuresOf(leaks: LeakFigures): Figures {
  return {
    total: leaks.total,
    inspectHost: leaks.byKind['inspect-host'],
    shareMnt: leaks.byKind['share-mnt'],
    findGateway: leaks.byKind['find-gateway'],
    exited: leaks.exited,
    neverStarted: leaks.neverStarted,
    dead: leaks.dead,
    lastHour: leaks.lastHour,
    leaking: leaks.leaking,
    ...(leaks.youngest === undefined ? {} : { youngestMs: leaks.youngest }),
    ...(leaks.oldest === undefined ? {} : { oldestMs: leaks.oldest }),
  };
}
