/** The chart of the pool's metadata over time. An SVG without any library. */
import { percentOf, type PoolSample } from './pool.ts';

/** All in pixels. */
const box = { width: 900, height: 360, left: 56, right: 20, top: 24, bottom: 48 } as const;

/** Colours for light and for dark pages; the background is the chart's own, since a page may have another. */
const style = `
    svg { color-scheme: light dark }
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .back { fill: #ffffff }
    .axis { stroke: #8c959f; fill: none }
    .limit { stroke: #c2410c; stroke-dasharray: 5 4; fill: none }
    .line { stroke: #0969da; stroke-width: 2; stroke-linejoin: round; fill: none }
    .read-only { fill: #c2410c; opacity: 0.2 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .back { fill: #0d1117 }
      .axis { stroke: #7d8590 } .limit { stroke: #ff9a66 } .line { stroke: #6cb6ff }
      .read-only { fill: #ff9a66 }
    }`;

const limits = [
  { percent: 70, text: '70 %: the doctor warns' },
  { percent: 90, text: '90 %: upgrades are deferred' },
] as const;

/** @returns the whole file */
export function drawPool({ samples }: { readonly samples: readonly PoolSample[] }): string {
  const first = samples[0]?.seconds ?? 0;
  const minutes = Math.max(1, ((samples.at(-1)?.seconds ?? 0) - first) / 60);
  const plot = { width: box.width - box.left - box.right, height: box.height - box.top - box.bottom };
  const x = (seconds: number): number => round(box.left + ((seconds - first) / 60 / minutes) * plot.width);
  const y = (percent: number): number => round(box.top + plot.height * (1 - percent / 100));
  const right = box.width - box.right;
  const step = [1, 2, 5, 10, 20].find((it) => minutes / it <= 10) ?? 60;
  const ticks = Array.from({ length: Math.floor(minutes / step) + 1 }, (_, index) => index * step);
  const points = samples.map((sample) => `${x(sample.seconds)} ${y(percentOf(sample))}`);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${box.width}" height="${box.height}" viewBox="0 0 ${box.width} ${box.height}" role="img">`,
    '  <title>Metadata of the pool, in percent, over the minutes of the run</title>',
    `  <style>${style}\n  </style>`,
    `  <rect class="back" width="${box.width}" height="${box.height}" rx="6"/>`,
    ...readOnlyTimes(samples).map(
      ([from, to]) =>
        `  <rect class="read-only" x="${x(from)}" y="${box.top}" width="${round(x(to) - x(from))}" height="${plot.height}"><title>the pool is read-only</title></rect>`,
    ),
    ...limits.flatMap(({ percent, text }) => [
      `  <path class="limit" d="M${box.left} ${y(percent)}H${right}"/>`,
      `  <text x="${box.left + 8}" y="${y(percent) - 5}">${text}</text>`,
    ]),
    ...[0, 20, 40, 60, 80, 100].map(
      (it) => `  <text x="${box.left - 6}" y="${y(it) + 4}" text-anchor="end">${it} %</text>`,
    ),
    ...ticks.map(
      (it) => `  <text x="${x(first + it * 60)}" y="${box.height - 28}" text-anchor="middle">${it}</text>`,
    ),
    `  <text x="${box.left + plot.width / 2}" y="${box.height - 10}" text-anchor="middle">minutes (emulated)</text>`,
    `  <path class="axis" d="M${box.left} ${box.top}V${box.top + plot.height}H${right}"/>`,
    ...(points.length === 0 ? [] : [`  <path class="line" d="M${points.join('L')}"/>`]),
    '</svg>',
    '',
  ].join('\n');
}

/** From when until when the pool was anything but writable. */
function readOnlyTimes(samples: readonly PoolSample[]): readonly (readonly [number, number])[] {
  const times: [number, number][] = [];
  let isOpen = false;
  for (const { seconds, mode } of samples) {
    const last = times.at(-1);
    if (mode === 'rw') isOpen = false;
    else if (isOpen && last !== undefined) last[1] = seconds;
    else {
      times.push([seconds, seconds]);
      isOpen = true;
    }
  }
  return times;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
