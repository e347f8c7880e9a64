import type { RemovalProgress } from '../cleanup/removal.ts';
import { formatAge } from '../support/deadline.ts';
import type { Paint } from './paint.ts';

/** How fast the cleanup has been recently. */
export interface Speed {
  /** Containers a second. */
  readonly rate: number;
  /** Milliseconds for the rest; undefined while it is unknown. */
  readonly leftMs: number | undefined;
}

/** Counts what was done within a window of time: older figures say nothing about the rest. */
export class SpeedMeter {
  readonly #windowMs: number;
  #samples: { readonly at: number; readonly done: number }[] = [];

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  note(progress: RemovalProgress, now: number): void {
    const last = this.#samples.at(-1);
    const { done } = progress;
    // A sample every hundredth of the window is enough.
    if (last !== undefined && now - last.at < this.#windowMs / 100) return;
    this.#samples.push({ at: now, done });
    const begin = this.#samples.findIndex(({ at }) => now - at <= this.#windowMs);
    if (begin > 1) this.#samples = this.#samples.slice(begin - 1);
  }

  read(progress: RemovalProgress, now: number): Speed {
    const [first] = this.#samples;
    const { done, total } = progress;
    if (first === undefined || done === first.done || now <= first.at) return { rate: 0, leftMs: undefined };
    const rate = ((done - first.done) * 1000) / (now - first.at);
    return { rate, leftMs: ((total - done) * 1000) / rate };
  }
}

/** The bar in one line, with at least ten characters for the bar itself. */
export function renderBar(progress: RemovalProgress, speed: Speed, columns: number, paint: Paint): string {
  const text = ` ${describeShort(progress, speed)}`;
  // The last column stays free: some terminals break the line there.
  const width = Math.max(10, Math.min(40, columns - 1 - text.length - 2 - failedText(progress).length));
  const share = progress.total === 0 ? 1 : Math.min(1, progress.done / progress.total);
  const filled = Math.floor(width * share);
  const bar = `[${paint.good('#'.repeat(filled))}${paint.faint('-'.repeat(width - filled))}]`;
  return `${bar}${text}${paint.bad(failedText(progress))}`;
}

/** The same without a bar, for logs. */
export function describeProgress(progress: RemovalProgress, speed: Speed): string {
  return `cleanup: ${describeShort(progress, speed)}${failedText(progress)}`;
}

function describeShort(progress: RemovalProgress, { rate, leftMs }: Speed): string {
  const { done, total } = progress;
  const percent = total === 0 ? 100 : Math.floor((done * 100) / total);
  const parts = [`${done} of ${total}`, `${percent} %`];
  if (progress.waiting === 'engine') return [...parts, 'waiting for the engine'].join(', ');
  parts.push(`${rate < 10 ? rate.toFixed(1) : Math.round(rate)}/s`);
  if (leftMs !== undefined) parts.push(`${formatAge(leftMs)} left`);
  if (progress.waiting === 'worker') parts.push('a worker runs');
  return parts.join(', ');
}

function failedText({ failed }: RemovalProgress): string {
  return failed === 0 ? '' : `, ${failed} failed`;
}
