import { nameHoldersOf, type Holder, type HolderView } from '../agent/transaction/mount-holders.ts';
import { messageOf } from '../support/errors.ts';
import { groupFailures, type FailureGroup } from './causes.ts';
import type { CleanupEnd, CleanupResult } from './remove-many.ts';
import type { Removable } from './candidates.ts';
import type { Survey } from './scan.ts';

/** How a clean-up ended; with `--json` exactly this. */
export interface CleanupReport {
  readonly version: 2;
  readonly dryRun: boolean;
  /** `declined`: a person said no. */
  readonly end: CleanupEnd | 'declined';
  /** Leaked helpers and dead containers of ours when it began. */
  readonly found: number;
  readonly removed: number;
  readonly failed: number;
  /** Turned out not to be leaked, by the reason. */
  readonly skipped: Readonly<Record<string, number>>;
  /** Helpers too young to be judged: left for the next run. */
  readonly young: number;
  /** Not tried, or what became of them isn't known. */
  readonly left: number;
  readonly tookMs: number;
  /** About: others use the same disk. Missing where it can't be told. */
  readonly freedBytes?: number;
  readonly failures: readonly HeldGroup[];
  /** New ones were still being made when it began. */
  readonly leaking: boolean;
  readonly oldAgent?: { readonly name: string; readonly image: string; readonly server?: string };
  /** With `--stop-agent`: whether it runs again. */
  readonly agentRunsAgain?: boolean;
  /** Of a dry run: what would go. */
  readonly containers?: readonly Removable[];
}

/** Failures of one cause, with the processes that hold the mounts of the examples. */
export interface HeldGroup extends FailureGroup {
  readonly holders: readonly Holder[];
}

/** Puts together what a clean-up found and did. */
export function buildReport(
  survey: Survey,
  result: Omit<CleanupResult, 'end' | 'failures'> & { readonly end: CleanupReport['end'] },
  more: Pick<CleanupReport, 'dryRun' | 'failures'> &
    Partial<Pick<CleanupReport, 'freedBytes' | 'agentRunsAgain' | 'containers'>>,
): CleanupReport {
  const { oldAgent, server } = survey;
  return {
    version: 2,
    end: result.end,
    found: survey.suspects.length + survey.dead.length,
    removed: result.removed,
    failed: more.failures.reduce((sum, { count }) => sum + count, 0),
    skipped: Object.fromEntries(result.skipped),
    young: survey.young,
    left: result.left,
    tookMs: Math.round(result.ms),
    leaking: survey.figures.leaking,
    ...(oldAgent === undefined
      ? {}
      : {
          oldAgent: {
            name: oldAgent.name,
            image: oldAgent.image,
            ...(server === undefined ? {} : { server }),
          },
        }),
    ...more,
  };
}

/**
 * Groups what failed, and looks once per cause for who holds the mounts. Explains only, hence never throws.
 * @param mayLook false where there is no time for a look
 */
export async function explainFailures(
  view: HolderView,
  failures: CleanupResult['failures'],
  mayLook: boolean,
): Promise<readonly HeldGroup[]> {
  const groups = groupFailures(failures, view.limits.CLEANUP_EXAMPLES);
  return Promise.all(
    groups.map(async (group) => {
      // Without an answer there is nobody to ask about layers either.
      if (!mayLook || group.cause === 'unanswered') return { ...group, holders: [] };
      const layers = await Promise.all(group.examples.map(async (id) => layersOf(view, id)));
      const ids = [...group.examples, ...layers.flat()];
      return { ...group, holders: await nameHoldersOf(view, 'those that could not be removed', ids) };
    }),
  );
}

async function layersOf({ engine, log }: HolderView, id: string): Promise<readonly string[]> {
  try {
    return (await engine.inspectContainer(id))?.layers ?? [];
  } catch (error) {
    log.debug(`the layers of ${id.slice(0, 12)} are not known`, { error: messageOf(error) });
    return [];
  }
}
