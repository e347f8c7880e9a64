/** What `scripts/bench cleanup` writes: a section of the page, and a chart. */
import type { Conditions } from './machine.ts';

export type Tool = 'cleanup' | 'prune' | 'xargs';

export interface Timing {
  readonly tool: Tool;
  readonly size: number;
  /** The whole command, its own start and list included. */
  readonly seconds: number;
  /** Containers a second from the first removal to the last, by the engine's events. */
  readonly rate: number;
}

/** The medians of some rounds. */
export interface Summary extends Timing {
  /** Of `cleanup`: its rates beside those of the faster of the others, the median of the rounds' own. */
  readonly beside?: { readonly whole: number; readonly removing: number };
  /** Of `cleanup`: its rate while removing beside that of each of the others, the median of the rounds' own. */
  readonly besideEach?: Readonly<Record<Exclude<Tool, 'cleanup'>, number>>;
}

export interface Load {
  /** What `docker ps` took: before, in the middle (median, most), after. */
  readonly psMs: {
    readonly before: number;
    readonly during: number;
    readonly most: number;
    readonly after: number;
  };
  readonly memoryMiB?: { readonly first: number; readonly most: number; readonly last: number };
}

export type CleanupFigures = Summary & Load;

export interface CleanupReport extends Conditions {
  readonly figures: readonly CleanupFigures[];
}

export const titles: Readonly<Record<Tool, string>> = {
  cleanup: 'cleanup',
  prune: 'docker container prune',
  xargs: 'xargs -P4 docker rm',
};
const colours: Readonly<Record<Tool, string>> = { cleanup: '#1a7f37', prune: '#bc4c00', xargs: '#0969da' };
const tools: readonly Tool[] = ['cleanup', 'prune', 'xargs'];

/** The section of the page, as Markdown. */
export function renderCleanup(report: CleanupReport): string {
  const sizes = [...new Set(report.figures.map(({ size }) => size))];
  const isBusy = report.load > 4;
  return `## Cleanup at length

Measured by \`scripts/bench cleanup\` on ${report.date}: ${report.machine}, Docker ${report.engine}, ${report.driver}; load at the end ${report.load}.
${isBusy ? 'The machine had much else to do: compare rows of this run only.' : 'The machine had little else to do.'}

Three commands remove sets of leaked containers of the same size, one after the other, each time in another order. The
containers were created and never ran. Figures are medians of several rounds, ratios are the median of the rounds' own: because of the
disk, the same command differs by a fifth from round to round.

- *Whole* is the whole command. For \`cleanup\` it includes the start of its container, about half a second.
- *While removing* is counted from the first removal to the last, by the engine's own events, for all three alike. From 1,000 containers on,
  \`cleanup\` must remove at least 1.2 × as many a second as \`docker container prune\`, and 0.8 × as many as \`xargs\`.
- \`cleanup\` inspects each container again before it removes it. The others do not.

![Seconds for so many containers](cleanup-benchmark.svg)

| containers | command | whole | beside the fastest other | a second, while removing | beside the fastest other |
|---|---|---|---|---|---|
${sizes.flatMap((size) => timeRows(report, size)).join('\n')}

Meanwhile, in a round of its own: how long \`docker ps\` takes for others, and the memory of \`cleanup\` (resident, its whole process).

| containers | command | \`docker ps\` before | meanwhile (median, most) | after | memory at first, most, last |
|---|---|---|---|---|---|
${report.figures.map(loadRow).join('\n')}
`;
}

function timeRows({ figures }: CleanupReport, size: number): readonly string[] {
  return figures
    .filter((row) => row.size === size)
    .map(
      ({ tool, seconds, rate, beside }) =>
        `| ${size} | \`${titles[tool]}\` | ${seconds} s | ${beside?.whole.toFixed(2) ?? ''} | ${rate} | ${beside?.removing.toFixed(2) ?? ''} |`,
    );
}

function loadRow({ tool, size, psMs, memoryMiB }: CleanupFigures): string {
  const memory =
    memoryMiB === undefined ? '' : `${memoryMiB.first}, ${memoryMiB.most}, ${memoryMiB.last} MiB`;
  return `| ${size} | \`${titles[tool]}\` | ${psMs.before} ms | ${psMs.during}, ${psMs.most} ms | ${psMs.after} ms | ${memory} |`;
}

const box = { width: 640, height: 360, left: 60, right: 20, top: 20, bottom: 50 } as const;

/** Seconds over containers, one line for each command. */
export function renderChart({ figures }: CleanupReport): string {
  const mostSize = Math.max(...figures.map(({ size }) => size));
  const mostSeconds = niceAbove(Math.max(...figures.map(({ seconds }) => seconds)));
  const x = (size: number): number =>
    Math.round(box.left + ((box.width - box.left - box.right) * size) / mostSize);
  const y = (seconds: number): number =>
    Math.round(box.height - box.bottom - ((box.height - box.top - box.bottom) * seconds) / mostSeconds);
  const text = (atX: number, atY: number, words: string, more = ''): string =>
    `<text x="${atX}" y="${atY}" ${more}>${words}</text>`;
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const seconds = part * mostSeconds;
    const line = `<line x1="${box.left}" x2="${box.width - box.right}" y1="${y(seconds)}" y2="${y(seconds)}" stroke="#d0d7de"/>`;
    return line + text(box.left - 8, y(seconds) + 4, `${seconds} s`, 'text-anchor="end"');
  });
  const sizes = [...new Set(figures.map(({ size }) => size))].map((size) =>
    text(x(size), box.height - box.bottom + 18, String(size), 'text-anchor="middle"'),
  );
  const lines = tools.map((tool, index) => {
    const points = figures.filter((row) => row.tool === tool).map((row) => [x(row.size), y(row.seconds)]);
    const dots = points.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="4" fill="${colours[tool]}"/>`);
    const path = `<polyline points="${points.map(String).join(' ')}" fill="none" stroke="${colours[tool]}" stroke-width="2"/>`;
    const legend = text(box.left + 16, box.top + 18 + index * 18, titles[tool], `fill="${colours[tool]}"`);
    return [path, ...dots, legend].join('');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${box.width} ${box.height}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#ffffff"/>
${[...grid, ...sizes, ...lines].join('\n')}
${text((box.left + box.width - box.right) / 2, box.height - 10, 'containers', 'text-anchor="middle"')}
</svg>
`;
}

/** A round number that is not much larger, so that its quarters are round as well. */
function niceAbove(value: number): number {
  const step = [4, 8, 20, 40, 80, 120, 200, 400, 800, 2_000].find((candidate) => candidate >= value);
  return step ?? Math.ceil(value / 1_000) * 1_000;
}
