import type { CleanupProgress } from '../cleanup/remove-many.ts';
import { formatAge } from '../support/deadline.ts';
import type { Paint } from './paint.ts';

/** How fast it goes, of late. */
export interface Speed {
  /** Containers a second. */
  readonly rate: number;
  /** Milliseconds for the rest; undefined while nobody can know. */
  readonly leftMs: number | undefined;
}

/** Counts what was done within a window of time: what the engine did a while ago says nothing about the rest. */
export class SpeedMeter {
  readonly #windowMs: number;
  #samples: { readonly at: number; readonly done: number }[] = [];

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  note(progress: CleanupProgress, now: number): void {
    const last = this.#samples.at(-1);
    const done = doneOf(progress);
    // A sample every hundredth of the window is enough, however fast it goes.
    if (last !== undefined && now - last.at < this.#windowMs / 100) return;
    this.#samples.push({ at: now, done });
    const begin = this.#samples.findIndex(({ at }) => now - at <= this.#windowMs);
    if (begin > 1) this.#samples = this.#samples.slice(begin - 1);
  }

  read(progress: CleanupProgress, now: number): Speed {
    const [first] = this.#samples;
    const done = doneOf(progress);
    if (first === undefined || done === first.done || now <= first.at) return { rate: 0, leftMs: undefined };
    const rate = ((done - first.done) * 1000) / (now - first.at);
    return { rate, leftMs: ((progress.total - done) * 1000) / rate };
  }
}

/** The bar in one line, with at least ten signs for the bar itself. */
export function renderBar(progress: CleanupProgress, speed: Speed, columns: number, paint: Paint): string {
  const text = ` ${describeShort(progress, speed)}`;
  // The last column stays free: some terminals begin a new line there.
  const width = Math.max(10, Math.min(40, columns - 1 - text.length - 2 - failedText(progress).length));
  const share = progress.total === 0 ? 1 : Math.min(1, doneOf(progress) / progress.total);
  const filled = Math.floor(width * share);
  const bar = `[${paint.good('#'.repeat(filled))}${paint.faint('-'.repeat(width - filled))}]`;
  return `${bar}${text}${paint.bad(failedText(progress))}`;
}

/** The same in words, for logs. */
export function describeProgress(progress: CleanupProgress, speed: Speed): string {
  return `clean-up: ${describeShort(progress, speed)}${failedText(progress)}`;
}

function describeShort(progress: CleanupProgress, { rate, leftMs }: Speed): string {
  const done = doneOf(progress);
  const percent = progress.total === 0 ? 100 : Math.floor((done * 100) / progress.total);
  const parts = [`${done} of ${progress.total}`, `${percent} %`];
  if (progress.waiting === 'engine') return [...parts, 'waiting for the engine'].join(', ');
  parts.push(`${rate < 10 ? rate.toFixed(1) : Math.round(rate)}/s`);
  if (leftMs !== undefined) parts.push(`${formatAge(leftMs)} left`);
  if (progress.waiting === 'worker') parts.push('beside a worker');
  return parts.join(', ');
}

function failedText({ failed }: CleanupProgress): string {
  return failed === 0 ? '' : `, ${failed} failed`;
}

function doneOf({ removed, failed, skipped }: CleanupProgress): number {
  return removed + failed + skipped;
}
