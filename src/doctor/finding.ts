import type { DoctorCause } from './causes.ts';
import type { Seen } from './snapshot.ts';

/**
 * What is checked. `diagnose` decides in which order it is shown. The longest name sets the width of its
 * column on the screen: a name of more than 9 letters moves the lines of all others.
 */
export const checkNames = [
  'engine',
  'storage',
  'pool',
  'agents',
  'leaks',
  'restarts',
  'mounts',
  'lock',
  'key',
  'address',
  'server',
  'transport',
  'clock',
  'serving',
  'state',
] as const;
export type CheckName = (typeof checkNames)[number];

/** `unknown`: it could not be checked, and that alone is no fault of the host. */
export type Level = 'ok' | 'unknown' | 'warning' | 'unhealthy';

/** Figures for programs. */
export type Figures = Readonly<Record<string, number | string | boolean>>;

/** One line of the doctor's table. */
export interface Finding {
  readonly check: CheckName;
  readonly level: Level;
  /** One short sentence with the figure. */
  readonly text: string;
  /** Stable code of the fault; with `warning` and `unhealthy` only. Two lines with the same code have the same cause. */
  readonly cause?: DoctorCause;
  /** What to do about it. */
  readonly advice?: string;
  /** More lines, for a person. */
  readonly details?: readonly string[];
  readonly figures?: Figures;
}

/** A line without a fault. */
export function fine(check: CheckName, text: string, figures?: Figures): Finding {
  return { check, level: 'ok', text, ...(figures === undefined ? {} : { figures }) };
}

/** A line about something that could not be checked. */
export function unseen(check: CheckName, seen: Extract<Seen<unknown>, { known: false }>): Finding {
  return {
    check,
    level: 'unknown',
    text: seen.why,
    ...(seen.hint === undefined ? {} : { advice: seen.hint }),
  };
}

/** The same for something on a disk: an unresponsive disk is worse than a disk that cannot be seen from here. */
export function unseenOnDisk(
  check: CheckName,
  disk: string,
  seen: Extract<Seen<unknown>, { known: false }>,
): Finding {
  if (seen.unresponsive !== true) return unseen(check, seen);
  return {
    check,
    level: 'unhealthy',
    text: `the disk of ${disk} does not answer: ${seen.why}`,
    cause: 'disk-unresponsive',
    advice: 'Check that disk: dmesg -T | tail -50. No upgrade begins before it answers.',
  };
}

/** A cause that the agent's record or the status file names: one of `support/causes.ts`, or the state itself. */
export function causeReported(text: string): DoctorCause {
  return text as DoctorCause;
}
