import type { Step } from '../transaction/plan.ts';
import type { Reporter } from './reporter.ts';

/** Between one agent's end and the next one's turn, on the way back as well, nothing waits for the disk. */
const passing: readonly Step['do'][] = ['park', 'promote', 'demote', 'start'];

/** Tells the step that a transaction takes now. @param summary for the status file */
export async function tellStep(reporter: Reporter, step: Step, summary: string): Promise<void> {
  if (passing.includes(step.do)) reporter.passing(summary, step.do);
  else await reporter.working(summary, step.do);
}
