import { bootstrapLimits } from './bootstrap.ts';
import { cleanupLimits } from './cleanup.ts';
import { controlPlaneLimits } from './control-plane.ts';
import { doctorLimits } from './doctor.ts';
import { bundleLimits } from './bundle.ts';
import { engineLimits } from './engine.ts';
import { hostLimits } from './host.ts';
import { logLimits } from './log.ts';
import { publicRows, type LimitRow } from './public.ts';
import { readinessLimits } from './readiness.ts';
import { runLimits } from './run.ts';
import { servingLimits } from './serving.ts';
import { transactionLimits } from './transaction.ts';
import { workerLimits } from './worker.ts';

/*
 * Every deadline and limit of the program, each with its reason. Nothing else in `src` holds a literal duration.
 *
 * - `public.ts`: the ones that a person may change, by `AGENT_LIMIT_<NAME>` in the environment. They are documented.
 * - The files of one subject each: constants. `AGENT_LIMIT_<NAME>` changes them too, because tests and benchmarks
 * run the real image and
 *   must shorten its waits. They are not documented, and nobody may rely on them.
 * - `fixed.ts`: what nothing can change, for code that runs without a configuration.
 *
 * Times are in milliseconds unless the comment says otherwise.
 */

const constants = {
  ...engineLimits,
  ...transactionLimits,
  ...readinessLimits,
  ...workerLimits,
  ...hostLimits,
  ...doctorLimits,
  ...bundleLimits,
  ...controlPlaneLimits,
  ...bootstrapLimits,
  ...runLimits,
  ...servingLimits,
  ...logLimits,
  ...cleanupLimits,
} as const satisfies Record<string, number>;

export type PublicLimitName = keyof typeof publicRows;
export type LimitName = PublicLimitName | keyof typeof constants;

/** All limits by name: milliseconds, or what the row or comment says. */
export type Limits = Readonly<Record<LimitName, number>>;

const publicNames = Object.keys(publicRows) as PublicLimitName[];

/** The public limits, for the help text and docs/configuration.md: name of the variable, default, unit, reason. */
export function describeLimits(): readonly ({ readonly variable: string } & LimitRow)[] {
  return publicNames.map((name) => ({ variable: variableOf(name), ...publicRows[name] }));
}

export const defaultLimits: Limits = {
  ...constants,
  ...(Object.fromEntries(publicNames.map((name) => [name, publicRows[name].value])) as Record<
    PublicLimitName,
    number
  >),
};

const limitNames: readonly LimitName[] = [
  ...publicNames,
  ...(Object.keys(constants) as (keyof typeof constants)[]),
];

/** The environment variable that overrides a limit. */
export function variableOf(name: LimitName): string {
  return `AGENT_LIMIT_${name}`;
}

/** Whether an environment variable overrides a limit. */
export function isLimitVariable(variable: string): boolean {
  return limitNames.some((name) => variableOf(name) === variable);
}

/** What a timer can hold, in ms (24.8 days): a longer one would fire at once. */
const longestTimer = 2 ** 31 - 1;

/**
 * Reads overrides from the environment.
 * @returns the limits and, for each variable that is not a whole number from 0 to 2147483647, a sentence that says so
 */
export function readLimits(environment: Readonly<Record<string, string | undefined>>): {
  limits: Limits;
  problems: string[];
} {
  const problems: string[] = [];
  const limits = { ...defaultLimits };
  for (const name of limitNames) {
    const text = environment[variableOf(name)];
    if (text === undefined || text === '') continue;
    if (/^\d{1,10}$/.test(text) && Number(text) <= longestTimer) limits[name] = Number(text);
    else
      problems.push(
        `${variableOf(name)} must be a whole number up to ${longestTimer}${unitOf(name)}, not "${text}"`,
      );
  }
  return { limits, problems };
}

function unitOf(name: LimitName): string {
  const row: LimitRow | undefined = Object.hasOwn(publicRows, name)
    ? publicRows[name as PublicLimitName]
    : undefined;
  return row === undefined ? '' : ` (${row.unit})`;
}
