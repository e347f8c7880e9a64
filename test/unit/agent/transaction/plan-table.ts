import { expect, it } from 'vitest';
import type { Observation, Observed } from '../../../../src/agent/transaction/observe.ts';
import { planStep } from '../../../../src/agent/transaction/plan.ts';
import type { Goal, History, Step } from '../../../../src/agent/transaction/steps.ts';

/** Scenes for the planner: who has which name, and what is written down of each container. */

export const now = Date.UTC(2026, 0, 1);
export const timeouts = { verifyMs: 10_000, standbyMs: 1_000 };
export const wanted = { digest: 'new', imageId: 'sha256:new' };
export const replace: Goal = { kind: 'replace', ...wanted, canStandBy: true, checksReadiness: false };
export const replaceProven: Goal = { kind: 'replace', ...wanted, canStandBy: true, checksReadiness: true };
export const replaceCold: Goal = { kind: 'replace', ...wanted, canStandBy: false, checksReadiness: false };
export const reconcile: Goal = { kind: 'reconcile' };

type Parts = Partial<Observed>;

/** An agent of the old version that has been running for an hour. */
export const old: Parts = { digest: 'old', imageId: 'sha256:old', image: 'rancher/agent:v1' };
/** What was asked for, created and never started. */
export const created: Parts = {
  ...wanted,
  image: 'rancher/agent:v2',
  state: 'created',
  startedAt: undefined,
};
export const up = (seconds: number): Parts => ({ state: 'running', startedAt: now - seconds * 1000 });
export const exited: Parts = { state: 'exited' };
export const looping: Parts = { state: 'restarting', restartCount: 4 };
export const isDead: Parts = { ...old, state: 'dead', isDead: true };
export const unmanaged: Parts = { managed: false, digest: undefined, image: 'nginx' };
export const removalStarted: Parts = { removalStarted: true };
export const managed: Parts = { canStandBy: true };

export interface SceneParts {
  readonly agent?: Parts;
  readonly legacy?: Parts;
  readonly next?: Parts;
  /** What has the other names of a next agent. */
  readonly otherNexts?: readonly (Parts | undefined)[];
  readonly previous?: readonly (Parts | undefined)[];
}

function scene({ agent, legacy, next, otherNexts = [], previous = [] }: SceneParts): Observation {
  const first = observed('next', next);
  const nexts = [first, ...[0, 1].map((index) => observed(`next-${index + 2}`, otherNexts[index]))];
  const managed = nexts.filter((each) => each?.managed === true);
  return {
    agent: observed('agent', agent),
    legacy: [observed('legacy', legacy)].filter((found) => found !== undefined),
    next: managed.find((each) => each?.isDead === false) ?? managed[0],
    nexts,
    previous: [0, 1, 2, 3, 4].map((parkedIndex) =>
      observed(`previous-${parkedIndex}`, previous[parkedIndex]),
    ),
    now,
  };
}

function observed(name: string, parts: Parts | undefined): Observed | undefined {
  if (parts === undefined) return undefined;
  return {
    id: name,
    name,
    image: 'rancher/agent:v1',
    imageId: 'sha256:old',
    digest: 'old',
    state: 'running',
    startedAt: now - 3_600_000,
    restartCount: 0,
    managed: true,
    isDead: false,
    removalStarted: false,
    canStandBy: false,
    environment: {},
    binds: [],
    ...parts,
  };
}

interface Learnt {
  readonly rejected?: readonly string[];
  readonly unremovable?: readonly string[];
  readonly unmovable?: readonly string[];
  readonly watched?: Readonly<Record<string, number>>;
  /** Names, or names with the start that has proven it. */
  readonly ready?: readonly string[] | Readonly<Record<string, string>>;
  readonly bootstraps?: Readonly<Record<string, 'proven' | 'keep-parked'>>;
}

function history({
  rejected = [],
  unremovable = [],
  unmovable = [],
  watched = {},
  ready = [],
  bootstraps = {},
}: Learnt): History {
  return {
    ready: Array.isArray(ready)
      ? new Map(ready.map((id: string) => [id, undefined]))
      : new Map(Object.entries(ready)),
    bootstraps: new Map(Object.entries(bootstraps)),
    rejected: new Set(rejected),
    unremovable: new Set(unremovable),
    unmovable: new Set(unmovable),
    watched: new Map(Object.entries(watched)),
  };
}

/** `park agent 0`, `fail no-agent`, … */
function tell(step: Step): string {
  const words = [
    step.do,
    step.do === 'fail' ? step.why : undefined,
    'container' in step ? step.container.name : undefined,
    'parkedIndex' in step ? step.parkedIndex : undefined,
    'nextIndex' in step && step.nextIndex > 0 ? `next ${step.nextIndex}` : undefined,
  ];
  return words.filter((word) => word !== undefined).join(' ');
}

export type Row = readonly [title: string, scene: SceneParts, step: string, learnt?: Learnt];

export function table(goal: Goal, rows: readonly Row[]): void {
  for (const [title, parts, step, learnt = {}] of rows) {
    it(title, () => {
      expect(tell(planStep(scene(parts), goal, history(learnt), timeouts))).toBe(step);
    });
  }
}
