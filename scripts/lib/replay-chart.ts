/** The chart of the replay: one panel a figure, a line for each way and delay. An SVG without any library. */
import type { Sample, Way } from '../../test/support/scenes/replay.ts';

/** One way with one delay. */
export interface Run {
  readonly way: Way;
  readonly delaySeconds: number;
  readonly samples: readonly Sample[];
}

interface Panel {
  readonly title: string;
  readonly valueOf: (sample: Sample) => number;
}

const panels: readonly Panel[] = [
  { title: 'leaked containers', valueOf: ({ leaked }) => leaked },
  { title: 'engine requests, in all', valueOf: ({ requests }) => requests },
  {
    title: 'CPU seconds, engine and containers',
    valueOf: ({ engineCpu, containersCpu }) => engineCpu + containersCpu,
  },
];

/** All in pixels. */
const width = 900;
const top = 76;
const plot = { width: 230, height: 170, left: 50, gap: 298 };
const height = top + plot.height + 52;
const wayNames: Readonly<Record<Way, string>> = { old: 'the legacy entrypoint', ours: 'this entrypoint' };
/** From the shortest delay to the longest: can be recognised without colour as well. */
const dashes = ['2 3', '7 4', 'none'];

/** Colours for light and for dark pages; the background is the chart's own, since a page may have another. */
const style = `
    svg { color-scheme: light dark }
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .title { font-weight: 600 }
    .back { fill: #ffffff }
    .axis { stroke: #8c959f; fill: none }
    .grid { stroke: #d8dee4; fill: none }
    .old { stroke: #c2410c } .ours { stroke: #0969da }
    .line { fill: none; stroke-width: 2; stroke-linejoin: round }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .back { fill: #0d1117 }
      .axis { stroke: #7d8590 } .grid { stroke: #30363d }
      .old { stroke: #ff9a66 } .ours { stroke: #6cb6ff }
    }`;

/** @returns the whole file */
export function drawReplay(runs: readonly Run[]): string {
  const minutes = Math.max(...runs.map(({ samples }) => (samples.at(-1)?.seconds ?? 0) / 60));
  const delays = [...new Set(runs.map(({ delaySeconds }) => delaySeconds))].sort((a, b) => a - b);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `  <title>The incident, replayed: the legacy entrypoint and this entrypoint under the same loop</title>`,
    `  <style>${style}\n  </style>`,
    `  <rect class="back" width="${width}" height="${height}" rx="6"/>`,
    ...drawLegend(delays),
    ...panels.flatMap((panel, index) => drawPanel(panel, index, runs, delays, minutes)),
    '</svg>',
    '',
  ].join('\n');
}

function drawLegend(delays: readonly number[]): string[] {
  const entries = (['old', 'ours'] as const).flatMap((way) => delays.map((delay) => ({ way, delay })));
  return entries.flatMap(({ way, delay }, index) => {
    const x = plot.left + (index % delays.length) * 285;
    const y = 16 + Math.floor(index / delays.length) * 18;
    const label = `${wayNames[way]}, ${delay === 0 ? 'fast engine' : `${delay} s more a call`}`;
    return [
      `  <path class="line ${way}" stroke-dasharray="${dashOf(delay, delays)}" d="M${x} ${y}h36"/>`,
      `  <text x="${x + 44}" y="${y + 4}">${label}</text>`,
    ];
  });
}

function drawPanel(
  { title, valueOf }: Panel,
  index: number,
  runs: readonly Run[],
  delays: readonly number[],
  minutes: number,
): string[] {
  const left = plot.left + index * plot.gap;
  const ticks = ticksUpTo(Math.max(1, ...runs.flatMap(({ samples }) => samples.map(valueOf))));
  const most = ticks.at(-1) ?? 1;
  const x = (minute: number): number => round(left + (minute / minutes) * plot.width);
  const y = (value: number): number => round(top + plot.height - (value / most) * plot.height);
  return [
    `  <text class="title" x="${left}" y="${top - 10}">${title}</text>`,
    ...ticks.flatMap((tick) => [
      `  <path class="grid" d="M${left} ${y(tick)}h${plot.width}"/>`,
      `  <text x="${left - 6}" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`,
    ]),
    ...ticksUpTo(minutes)
      .filter((tick) => tick <= minutes)
      .map(
        (tick) => `  <text x="${x(tick)}" y="${top + plot.height + 18}" text-anchor="middle">${tick}</text>`,
      ),
    `  <text x="${left + plot.width / 2}" y="${top + plot.height + 38}" text-anchor="middle">minutes</text>`,
    `  <path class="axis" d="M${left} ${top}v${plot.height}h${plot.width}"/>`,
    ...runs.map(({ way, delaySeconds, samples }) => {
      const points = corners(samples, valueOf).map(
        (sample) => `${x(sample.seconds / 60)} ${y(valueOf(sample))}`,
      );
      const dash = dashOf(delaySeconds, delays);
      return `  <path class="line ${way}" stroke-dasharray="${dash}" d="M${points.join('L')}"/>`;
    }),
  ];
}

/** Without those in the middle of a level stretch. */
function corners(samples: readonly Sample[], valueOf: Panel['valueOf']): readonly Sample[] {
  return samples.filter((sample, index) => {
    const around = [samples[index - 1], samples[index + 1]];
    return around.some((other) => other === undefined || valueOf(other) !== valueOf(sample));
  });
}

function dashOf(delay: number, delays: readonly number[]): string {
  return dashes[Math.min(delays.indexOf(delay) + dashes.length - delays.length, dashes.length - 1)] ?? 'none';
}

/** Round numbers from 0 to the first one that is not below `most`. */
function ticksUpTo(most: number): number[] {
  const power = 10 ** Math.floor(Math.log10(most / 4));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((it) => most / it <= 6) ?? most;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, count) => round(count * step));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
