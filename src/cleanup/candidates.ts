import type { RoleNames } from '../agent/identity/roles.ts';
import { isWorkerRunning } from '../agent/worker/client.ts';
import type { ContainerSummary, Engine } from '../engine/engine.ts';
import type { Clock } from '../support/clock.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { HelperKind } from './leaks.ts';
import { createImageLabels, classifyDead, judgeSuspect, type Judged, type Judgement } from './remove.ts';
import type { Survey } from './scan.ts';

/** A container that a clean-up may remove, as the list had it. */
export interface Removable {
  readonly id: string;
  readonly kind: HelperKind | 'dead';
  readonly name: string;
  readonly image: string;
  readonly command: string;
  readonly state: string;
  /** ISO 8601. */
  readonly createdAt: string;
}

export type Candidate = Judged;

export interface CandidateView {
  readonly engine: Engine;
  readonly names: RoleNames;
  readonly survey: Survey;
  /** SWEEP_AGE counts here. */
  readonly limits: Limits;
  readonly clock: Clock;
}

/** All that a survey found, in the order in which it is to go, each with its own judgement. */
export function listCandidates({
  engine,
  names,
  survey,
  limits,
  clock,
}: CandidateView): readonly Candidate[] {
  const imageLabels = createImageLabels(engine);
  const classifyManaged = async (container: ContainerSummary): Promise<Judgement> => {
    // A transaction may be trying the same: it counts on what it sees.
    if (await isWorkerRunning({ engine, names })) return { leak: false, because: 'may still be in use' };
    return classifyDead(engine, container, names, () => clock.now());
  };
  return [
    ...survey.dead.map((container) => ({ id: container.id, judge: async () => classifyManaged(container) })),
    ...survey.suspects.map((suspect) => ({
      id: suspect.container.id,
      judge: async () =>
        judgeSuspect(engine, suspect, { names, now: clock.now(), age: limits.SWEEP_AGE }, imageLabels),
    })),
  ];
}

/** The same for people and programs. */
export function listRemovable({ dead, suspects }: Survey): readonly Removable[] {
  const describe = (kind: Removable['kind'], container: ContainerSummary): Removable => ({
    kind,
    id: container.id,
    name: container.name,
    image: container.image,
    command: container.command,
    state: container.state,
    createdAt: new Date(container.createdAt).toISOString(),
  });
  return [
    ...dead.map((container) => describe('dead', container)),
    ...suspects.map(({ kind, container }) => describe(kind, container)),
  ];
}
