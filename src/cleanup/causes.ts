import type { Holder } from '../agent/transaction/mount-holders.ts';

/**
 * Why removals fail, by the engine's message. Its wording changed with every version, but the part from the kernel did not.
 */
export type FailureCause =
  'held' | 'immutable' | 'pool' | 'read-only' | 'disk-error' | 'no-space' | 'unanswered' | 'other';

const patterns: readonly (readonly [FailureCause, RegExp])[] = [
  ['held', /device or resource busy|device is busy|ebusy/i],
  ['pool', /dm_task_run failed/i],
  ['immutable', /operation not permitted|permission denied/i],
  ['read-only', /read-only file system/i],
  ['disk-error', /input\/output error|structure needs cleaning/i],
  ['no-space', /no space left on device|quota exceeded/i],
];

/**
 * Whether a failure says that the storage cannot take a change: every further removal would leave a dead container, and Docker
 * 1.10.3 forgets those, whose devices then stay in the pool (invariant 10).
 */
export function isStorageSick(cause: FailureCause): boolean {
  return cause === 'pool' || cause === 'read-only' || cause === 'no-space';
}

/** The cause of a failed removal. */
export function causeOf(originalMessage: string): FailureCause {
  return patterns.find(([, pattern]) => pattern.test(originalMessage))?.[0] ?? 'other';
}

/** For a person: what it means, and what to do. */
export function describeCause(cause: FailureCause): { readonly meaning: string; readonly todo: string } {
  switch (cause) {
    case 'held':
      return { meaning: 'a process still has the mount', todo: 'stop or restart that process' };
    case 'pool':
      return {
        meaning: 'the devicemapper pool takes no change',
        todo: 'see whether its metadata is full: docker info, and the runbook, "the storage is low"',
      };
    case 'immutable':
      return { meaning: 'a file is immutable', todo: 'see the runbook, "a container cannot be removed"' };
    case 'read-only':
      return {
        meaning: 'the file system has become read-only',
        todo: 'check the disk: dmesg -T',
      };
    case 'disk-error':
      return { meaning: 'the disk has errors', todo: 'check the disk: dmesg -T' };
    case 'no-space':
      return { meaning: 'the storage is full', todo: 'see the runbook, "the storage is low"' };
    case 'unanswered':
      return {
        meaning: 'the engine did not answer in time',
        todo: 'it may still finish them: run cleanup again later',
      };
    case 'other':
      return {
        meaning: 'the engine refuses',
        todo: 'see the log of the Docker daemon: journalctl -u docker',
      };
  }
}

/** One container that could not be removed. */
export interface Failure {
  readonly id: string;
  readonly cause: FailureCause;
  readonly originalMessage: string;
}

/** Failures of one cause. The message and the ids are examples. */
export interface FailureGroup {
  readonly cause: FailureCause;
  readonly count: number;
  /** The engine's message about one of them. */
  readonly originalMessage: string;
  /** Ids in full, no more than a person needs. */
  readonly examples: readonly string[];
  /** Processes that hold the mounts of the examples; none if they were not searched for. */
  readonly holders: readonly Holder[];
}

/** Groups failures by cause, the largest group first. @param mostExamples ids kept per group */
export function groupFailures(failures: Iterable<Failure>, mostExamples: number): readonly FailureGroup[] {
  const groups = new Map<FailureCause, FailureGroup>();
  for (const { id, cause, originalMessage } of failures) {
    const group = groups.get(cause) ?? { cause, count: 0, originalMessage, examples: [], holders: [] };
    const examples = group.examples.length < mostExamples ? [...group.examples, id] : group.examples;
    groups.set(cause, { ...group, count: group.count + 1, examples });
  }
  return [...groups.values()].sort((a, b) => b.count - a.count);
}
