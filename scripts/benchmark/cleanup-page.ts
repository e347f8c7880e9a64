/** What `scripts/bench cleanup` writes: a page with a table, and a chart. */

export type Tool = 'cleanup' | 'prune' | 'xargs';

export interface Timing {
  readonly tool: Tool;
  readonly size: number;
  /** The whole command, its own start and list included. */
  readonly seconds: number;
  /** Containers a second from the first removal to the last, as the engine's events tell it. */
  readonly rate: number;
}

/** The medians of some rounds. */
export interface Summary extends Timing {
  /** Of `cleanup`: its rates beside those of the faster of the others, the median of the rounds' own. */
  readonly beside?: { readonly whole: number; readonly removing: number };
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

export type Figures = Summary & Load;

export interface Bench {
  readonly machine: string;
  readonly engine: string;
  readonly driver: string;
  readonly date: string;
  /** Load average of the last 15 minutes in the end: what else the machine does. */
  readonly load: number;
  readonly figures: readonly Figures[];
}

const titles: Readonly<Record<Tool, string>> = {
  cleanup: 'cleanup',
  prune: 'docker container prune',
  xargs: 'xargs -P4 docker rm',
};
const colours: Readonly<Record<Tool, string>> = { cleanup: '#1a7f37', prune: '#bc4c00', xargs: '#0969da' };
const tools: readonly Tool[] = ['cleanup', 'prune', 'xargs'];

/** The page, as Markdown. */
export function renderPage(bench: Bench): string {
  const sizes = [...new Set(bench.figures.map(({ size }) => size))];
  return `# How fast cleanup is

Made by \`scripts/bench cleanup\` on ${bench.date}: ${bench.machine}, Docker ${bench.engine}, ${bench.driver}. Leaked containers that were
created and never ran; the three commands in turn on sets of the same size, each time in another order. Figures are the medians of
several rounds, and what is beside the fastest other is the median of the rounds' own: from round to round one and the same
command differs by a fifth, as the disk has it. \`cleanup\` looks at each container once more before it removes it, the others don't.
*Whole* is the whole command: of \`cleanup\` also the start of its container, half a second whatever there is to do. *While removing* is counted from the first removal to the last, as the engine's own events tell it,
for all three alike. The load of the machine was ${bench.load} meanwhile; ${bench.load > 4 ? 'it had a lot else to do, so that rows measured at other times are only roughly comparable' : 'it had little else to do'}.

![Seconds for so many containers](cleanup-benchmark.svg)

| containers | command | whole | beside the fastest other | a second, while removing | beside the fastest other |
|---|---|---|---|---|---|
${sizes.flatMap((size) => timeRows(bench, size)).join('\n')}

What \`docker ps\` takes for others meanwhile, and the memory of \`cleanup\` (resident, of its whole process), in a round of its own:

| containers | command | \`docker ps\` before | meanwhile (median, most) | after | memory at first, most, last |
|---|---|---|---|---|---|
${bench.figures.map(loadRow).join('\n')}

The figures: [cleanup-benchmark.json](cleanup-benchmark.json).
`;
}

function timeRows({ figures }: Bench, size: number): readonly string[] {
  return figures
    .filter((row) => row.size === size)
    .map(
      ({ tool, seconds, rate, beside }) =>
        `| ${size} | \`${titles[tool]}\` | ${seconds} s | ${beside?.whole.toFixed(2) ?? ''} | ${rate} | ${beside?.removing.toFixed(2) ?? ''} |`,
    );
}

function loadRow({ tool, size, psMs, memoryMiB }: Figures): string {
  const memory =
    memoryMiB === undefined ? '' : `${memoryMiB.first}, ${memoryMiB.most}, ${memoryMiB.last} MiB`;
  return `| ${size} | \`${titles[tool]}\` | ${psMs.before} ms | ${psMs.during}, ${psMs.most} ms | ${psMs.after} ms | ${memory} |`;
}

const box = { width: 640, height: 360, left: 60, right: 20, top: 20, bottom: 50 } as const;

/** Seconds over containers, one line for each command. */
export function renderChart({ figures }: Bench): string {
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

/** A round number that isn't much larger, so that its quarters are round as well. */
function niceAbove(value: number): number {
  const step = [4, 8, 20, 40, 80, 120, 200, 400, 800, 2_000].find((candidate) => candidate >= value);
  return step ?? Math.ceil(value / 1_000) * 1_000;
}
