import { expect } from 'vitest';

/** Characters. Linear work takes 4 times as long for each next size, quadratic work 16 times. */
const sizes = [8_000, 32_000, 128_000] as const;
/** Between the two: room for a busy machine, and for V8, which compiles what it runs often, and collects garbage. */
const mostGrowth = 9;
/** Shorter times cannot be measured, and after a longer one the next size is not tried. All in ms. */
const least = 0.1;
const most = 400;
const tries = 4;

/**
 * Fails unless work on a text takes linear time. It is measured in three sizes, and again if it seems not to be: a busy
 * machine may spoil a measurement, and quadratic work is quadratic each time.
 * @param make a text of about that many characters
 */
export function expectLinear(work: (text: string) => unknown, make: (length: number) => string): void {
  const texts = sizes.map(make);
  let shown = '';
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    const times: number[] = [];
    for (const text of texts) {
      const ms = leastTimeOf(() => work(text));
      times.push(Math.max(least, ms));
      if (ms > most) break;
    }
    const [first = least, middle = least, last = Number.POSITIVE_INFINITY] = times;
    // The first size alone may run much faster: V8 has compiled it by then.
    if (last / middle < mostGrowth || last / first < mostGrowth ** 2) return;
    shown = times.map((ms) => ms.toFixed(2)).join(', ');
  }
  expect.fail(`not linear: ${shown} ms for ${sizes.join(', ')} characters`);
}

/** The shortest of some measurements, in ms: the one that other processes of the machine have disturbed least. */
function leastTimeOf(work: () => unknown): number {
  let found = Number.POSITIVE_INFINITY;
  const ends = performance.now() + 10;
  for (let turn = 0; turn < 3 || (turn < 50 && performance.now() < ends); turn += 1) {
    const begun = performance.now();
    work();
    found = Math.min(found, performance.now() - begun);
    if (found > most) break;
  }
  return found;
}
