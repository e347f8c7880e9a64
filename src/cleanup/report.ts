import { nameHoldersOf, type HolderView } from '../agent/transaction/mount-holders.ts';
import { shortId } from '../engine/containers.ts';
import { messageOf } from '../support/errors.ts';
import type { FailureGroup } from './causes.ts';
import type { Suspect } from './leaks.ts';
import type { RemovalEnd, RemovalSummary } from './removal.ts';
import type { Scan } from './scan.ts';

/** The result of a cleanup; with `--json` exactly this (docs/json.md). */
export interface CleanupReport {
  readonly version: 2;
  readonly dryRun: boolean;
  /** `declined`: a person answered no. */
  readonly end: RemovalEnd | 'declined';
  /** Leaked helpers and dead managed containers when it began. */
  readonly found: number;
  readonly removed: number;
  readonly failed: number;
  /** Turned out not to be leaks, by the reason. */
  readonly skipped: Readonly<Record<string, number>>;
  /** Helpers that are too young: left for the next run. */
  readonly young: number;
  /** Not tried, or the result is unknown. */
  readonly left: number;
  readonly tookMs: number;
  /** An approximation, because others use the same disk. Missing if it cannot be known. */
  readonly freedBytes?: number;
  /** The same for the metadata of a devicemapper pool. */
  readonly freedMetadataBytes?: number;
  readonly failures: readonly FailureGroup[];
  /** A legacy agent still created new ones when it began. */
  readonly leaking: boolean;
  readonly oldAgent?: { readonly name: string; readonly image: string; readonly server?: string };
  /** With `--stop-agent`: whether it runs again. */
  readonly agentRunsAgain?: boolean;
  /** Of a dry run: what a cleanup would remove. Described one by one, because there may be 100,000. */
  readonly containers?: Iterable<ListedContainer>;
}

/** A suspect as a dry run shows it to people and programs. */
export type ListedContainer = Pick<Suspect, 'kind'> &
  Readonly<Record<'id' | 'name' | 'image' | 'command' | 'state' | 'createdAt', string>> & {
    readonly result: 'would-remove';
  };

/** What a cleanup has done, and what only its caller knows. */
type Parts = Pick<CleanupReport, 'dryRun' | 'end'> &
  Partial<
    Pick<CleanupReport, 'freedBytes' | 'freedMetadataBytes' | 'agentRunsAgain' | 'containers' | 'failures'>
  >;

/** Puts together what a cleanup has found and done. @param summary undefined if it has removed nothing */
export function buildReport(scan: Scan, summary: RemovalSummary | undefined, parts: Parts): CleanupReport {
  const { oldAgent, server } = scan;
  const found = scan.suspects.length;
  return {
    version: 2,
    found,
    removed: summary?.removed ?? 0,
    failed: parts.failures?.reduce((sum, { count }) => sum + count, 0) ?? 0,
    skipped: Object.fromEntries(summary?.kept ?? []),
    young: scan.young,
    left: parts.dryRun ? 0 : (summary?.left ?? found),
    tookMs: Math.round(summary?.ms ?? 0),
    leaking: scan.figures.leaking,
    ...(oldAgent === undefined
      ? {}
      : {
          oldAgent: {
            name: oldAgent.name,
            image: oldAgent.image,
            ...(server === undefined ? {} : { server }),
          },
        }),
    failures: [],
    ...parts,
  };
}

/** The suspects that a cleanup would remove. */
export function describeSuspects(suspects: readonly Suspect[]): Iterable<ListedContainer> {
  return {
    *[Symbol.iterator]() {
      for (const suspect of suspects) yield describeSuspect(suspect);
    },
  };
}

function describeSuspect({ kind, container }: Suspect): ListedContainer {
  const { id, name, image, command, state, createdAt } = container;
  return {
    result: 'would-remove',
    kind,
    id,
    name,
    image,
    command,
    state,
    createdAt: new Date(createdAt).toISOString(),
  };
}

/** Searches once per cause for the processes that hold the mounts. It only explains, so it never throws. */
export async function findHolders(
  view: HolderView,
  failures: readonly FailureGroup[],
): Promise<readonly FailureGroup[]> {
  return Promise.all(
    failures.map(async (group) => {
      // Without an answer, the engine cannot be asked for layers either.
      if (group.cause === 'unanswered') return group;
      const layers = await Promise.all(group.examples.map(async (id) => layersOf(view, id)));
      const ids = [...group.examples, ...layers.flat()];
      const what = 'the containers that could not be removed';
      return { ...group, holders: await nameHoldersOf(view, what, ids) };
    }),
  );
}

async function layersOf({ engine, log }: HolderView, id: string): Promise<readonly string[]> {
  try {
    return (await engine.inspectContainer(id))?.layers ?? [];
  } catch (error) {
    log.debug(`the layers of ${shortId(id)} are unknown`, { error: messageOf(error) });
    return [];
  }
}
