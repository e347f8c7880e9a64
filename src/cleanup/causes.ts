/** Why removals fail, by the engine's words: wordings changed with every version, what the kernel says did not. */
export type FailureCause =
  'held' | 'immutable' | 'read-only' | 'disk-error' | 'no-space' | 'unanswered' | 'other';

const patterns: readonly (readonly [FailureCause, RegExp])[] = [
  ['held', /device or resource busy|device is busy|ebusy/i],
  ['immutable', /operation not permitted|permission denied/i],
  ['read-only', /read-only file system/i],
  ['disk-error', /input\/output error|structure needs cleaning/i],
  ['no-space', /no space left on device|quota exceeded/i],
];

/** The cause of a failed removal. */
export function causeOf(originalMessage: string): FailureCause {
  return patterns.find(([, pattern]) => pattern.test(originalMessage))?.[0] ?? 'other';
}

/** For a person: what it means, and where the runbook goes on. */
export function describeCause(cause: FailureCause): { readonly meaning: string; readonly todo: string } {
  switch (cause) {
    case 'held':
      return { meaning: 'a process still has the mount', todo: 'end or restart who holds it' };
    case 'immutable':
      return { meaning: 'a file is immutable', todo: 'see the runbook, "a container cannot be removed"' };
    case 'read-only':
      return {
        meaning: 'the file system has become read-only',
        todo: 'see the kernel log (dmesg -T): the disk',
      };
    case 'disk-error':
      return { meaning: 'the disk is sick', todo: 'see the kernel log (dmesg -T): the disk' };
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
        todo: "see the engine's log: journalctl -u docker",
      };
  }
}

/** Failures of one cause; the words, and some ids, are examples. */
export interface FailureGroup {
  readonly cause: FailureCause;
  readonly count: number;
  /** The engine's words about one of them. */
  readonly originalMessage: string;
  /** Ids in full, no more than a person needs. */
  readonly examples: readonly string[];
}

/** Groups failures by cause, the largest group first. @param mostExamples ids kept per group */
export function groupFailures(
  failures: Iterable<{ readonly id: string; readonly cause: FailureCause; readonly originalMessage: string }>,
  mostExamples: number,
): readonly FailureGroup[] {
  const groups = new Map<FailureCause, FailureGroup>();
  for (const { id, cause, originalMessage } of failures) {
    const group = groups.get(cause) ?? { cause, count: 0, originalMessage, examples: [] };
    const examples = group.examples.length < mostExamples ? [...group.examples, id] : group.examples;
    groups.set(cause, { ...group, count: group.count + 1, examples });
  }
  return [...groups.values()].sort((a, b) => b.count - a.count);
}
