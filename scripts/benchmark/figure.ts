/** What was measured: samples in, one line of a table out. */

export type Unit = 'ms' | 's' | 'MiB' | 'MB' | 'requests' | 'containers' | 'a second' | '%';

/** What is promised of a figure. */
export type Bound =
  /** This entrypoint beside the reference, by `ratio`. */
  | { readonly kind: 'ratio-at-most' | 'ratio-at-least'; readonly value: number }
  /** This entrypoint alone. */
  | { readonly kind: 'at-most'; readonly value: number };

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
  readonly rounds: number;
}

export interface Figure {
  readonly subject: string;
  readonly name: string;
  readonly unit: Unit;
  readonly ours: Spread;
  readonly reference?: Spread;
  /** The median of the rounds' ratios, so that a machine that slows down meanwhile slows both; of the medians where rounds don't match. */
  readonly ratio?: number;
  readonly bound?: Bound;
  /** Whether the bound is kept; left out where nothing is promised. */
  readonly kept?: boolean;
}

export interface Samples {
  readonly ours: readonly number[];
  readonly reference?: readonly number[];
}

/** @param bound left out for a figure that is only shown */
export function figureOf(
  subject: string,
  name: string,
  unit: Unit,
  { ours, reference }: Samples,
  bound?: Bound,
): Figure {
  const figure = { subject, name, unit, ours: spreadOf(ours, unit) };
  const ratio = reference === undefined ? undefined : ratioOf(ours, reference);
  return {
    ...figure,
    ...(reference === undefined ? {} : { reference: spreadOf(reference, unit) }),
    ...(ratio === undefined || !Number.isFinite(ratio) ? {} : { ratio: rounded(ratio, 2) }),
    ...(bound === undefined ? {} : { bound, kept: isKept(bound, median(ours), ratio) }),
  };
}

/** Exit status of `scripts/bench`: 1 if a bound is not kept. */
export function exitStatusOf(figures: readonly Figure[]): number {
  return figures.some(({ kept }) => kept === false) ? 1 : 0;
}

function ratioOf(ours: readonly number[], reference: readonly number[]): number {
  if (ours.length !== reference.length) return median(ours) / median(reference);
  return median(ours.map((one, round) => one / (reference[round] ?? Number.NaN)));
}

/** The middle one; of an even number the mean of the two. */
export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const [low, high] =
    sorted.length % 2 === 0 ? [sorted[half - 1], sorted[half]] : [sorted[half], sorted[half]];
  if (low === undefined || high === undefined) throw new Error('nothing was measured');
  return (low + high) / 2;
}

function isKept(bound: Bound, ours: number, ratio: number | undefined): boolean {
  switch (bound.kind) {
    case 'at-most':
      return ours <= bound.value;
    case 'ratio-at-most':
      return ratio !== undefined && ratio <= bound.value;
    case 'ratio-at-least':
      return ratio !== undefined && ratio >= bound.value;
  }
}

function spreadOf(samples: readonly number[], unit: Unit): Spread {
  const digits = unit === '%' ? 2 : unit === 'ms' || unit === 'requests' || unit === 'containers' ? 0 : 1;
  return {
    min: rounded(Math.min(...samples), digits),
    median: rounded(median(samples), digits),
    max: rounded(Math.max(...samples), digits),
    rounds: samples.length,
  };
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
