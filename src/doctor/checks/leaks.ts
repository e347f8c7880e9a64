import type { RoleNames } from '../../agent/identity/roles.ts';
import { formatAge } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { countLeaks, type LeakFigures } from '../../cleanup/leak-figures.ts';
import { findLeaks } from '../../cleanup/leaks.ts';
import { fine, unseen, type Figures, type Finding } from '../finding.ts';
import type { AgentRecord, HostRecord } from '../snapshot.ts';
import { nameOf } from './agents.ts';

/** What older entrypoints leaked, whether it goes on, why, and who makes them. */
export function checkLeaks(record: HostRecord, limits: Limits, names: RoleNames): readonly Finding[] {
  const { containers, now } = record;
  if (!containers.known) return [unseen('leaks', containers)];
  const leaks = countLeaks(findLeaks(containers.value, names), now, limits);
  const figures = figuresOf(leaks);
  if (leaks.total === 0) return [judgeOldEntrypoint(record, figures)];
  const details = [describeCauses(leaks)];
  const oldest = formatAge(leaks.oldest ?? 0);
  const youngest = formatAge(leaks.youngest ?? 0);
  if (!leaks.leaking) {
    const text = `${count(leaks.total)}, made ${youngest} to ${oldest} ago; none now`;
    const advice = 'Nothing makes new ones. The agent sweeps 50 a start; `cleanup` removes all at once.';
    return [{ check: 'leaks', level: 'warning', text, cause: 'leaked-before', advice, details, figures }];
  }
  const makers = findMakers(record);
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

const nobody = 'made by: no agent of an older entrypoint runs here now';

/** Running agents whose loop is the old script's: it starts helpers with a client that may be killed. */
function findMakers({ agents }: HostRecord): readonly AgentRecord[] {
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

function describeMaker(agent: AgentRecord): string {
  const server = agent.server === undefined ? '' : `, asked by ${agent.server}`;
  const how = agent.role === 'upgrade' ? 'the upgrade' : 'the loop of an old agent';
  return `made by: ${how}, ${nameOf(agent)}, ${agent.image}${server}`;
}

function adviceFor(makers: readonly AgentRecord[]): string {
  const [maker] = makers;
  if (maker === undefined) {
    return 'Find out who starts upgrades: docker events --filter event=create. Then clean up: `cleanup`.';
  }
  return `Stop it (docker stop ${maker.name}; your containers run on), have the server require an image with this entrypoint, then \`cleanup\` and \`upgrade\`.`;
}

/** Not leaking yet: the next upgrade by such an agent may. */
function judgeOldEntrypoint(record: HostRecord, figures: Figures): Finding {
  const [maker] = findMakers(record);
  if (maker === undefined) return fine('leaks', 'no leaked helpers', figures);
  return {
    check: 'leaks',
    level: 'warning',
    text: `no leaked helpers, but ${nameOf(maker)} has the old entrypoint (${maker.image}): an upgrade by it may leak`,
    cause: 'old-entrypoint',
    advice: 'Upgrade it to an image with this entrypoint.',
    figures,
  };
}

function describeCauses({ exited, neverStarted, dead, byKind }: LeakFigures): string {
  const fates = [
    [exited, 'exited, and the client that should have removed them was killed'],
    [neverStarted, 'never started: the client, or the engine, was killed in between'],
    [dead, 'dead: the engine could not remove them'],
  ] as const;
  const kinds = Object.entries(byKind).filter(([, number]) => number > 0);
  const causes = fates.filter(([number]) => number > 0).map(([number, why]) => `${number} ${why}`);
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
