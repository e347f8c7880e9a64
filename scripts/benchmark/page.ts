/** What `scripts/bench` shows: a table on the terminal and a page for the documents. */
import type { Bound, Figure, Spread, Unit } from './figure.ts';

export interface Report {
  /** Cores, memory and kind of the machine, in general terms. */
  readonly machine: string;
  readonly engine: string;
  readonly driver: string;
  readonly date: string;
  /** Load average of the last 15 minutes in the end: what else the machine does. */
  readonly load: number;
  /** What the whole took. */
  readonly seconds: number;
  readonly figures: readonly Figure[];
}

const head = ['what', 'ours', 'reference', 'ratio', 'bound', ''] as const;

/** The table for a terminal, a line a figure. */
export function renderTable(figures: readonly Figure[]): string {
  const rows = [head, ...figures.map((figure) => rowOf(figure).map((cell) => cell.replaceAll('`', '')))];
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** The page, as Markdown. */
export function renderBenchPage(report: Report): string {
  const rows = [head, head.map(() => '---'), ...report.figures.map(rowOf)];
  const table = rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
  return `# Beside a shell script

Made by \`scripts/bench\` on ${report.date}, in ${Math.round(report.seconds / 60)} min: ${report.machine}, Docker ${report.engine}, ${report.driver};
load of the machine in the end ${report.load}. The reference is what an agent's entrypoint in shell
[must at least do](../../test/support/images/reference-entrypoint/run.sh), in our own words: nothing but plain \`docker\` commands, no checks, no
second try, no way back. Both run in turn, on one engine; the first round of each is not counted. Figures are medians, with
the least and the most in brackets, the ratio is the median of the rounds' own. \`scripts/bench\` ends with 1 if a bound is not kept.

${table}

How the times of an upgrade are meant. The clock begins with the \`docker run … upgrade\` that the server's script types.

- *Started* is the \`start\` of the new agent's container in the engine's event stream: everything before it is ours, the caller,
  the worker, its checks of storage, image and host. What comes behind it is verification: the new agent must stay up for 1 s
  (\`STANDBY\`) before anything of the old one is touched. The reference verifies nothing. So the new one *has the name* and
  *acts* later than the reference's, while the old one works on; those times are told, and nothing is promised of them.
- *Acts*: the server is asked for the bootstrap for the first time. Container, process and host are ready by then, in both ways.
- *No container of an agent runs*: from the old one's \`die\` to the new one's \`start\`. Ours starts the new one first, hence 0.
- *No agent acts*: from the old one's \`die\`, or the first signal to it, until the new one acts. The reference kills the
  old agent (\`docker rm -f\`); ours lets it end by SIGTERM.
- *Engine requests* are those of everybody on the host, from the command until nothing but the agent is there.

How reconnecting is meant. One run of the bootstrap is one connection of the agent. *Offline* is the share of 12 simulated hours without
one: the real loop, with a clock of its own. The reference is the legacy entrypoint, which runs the script, sleeps 5 s and runs it again; the
bound is 1.3 × its share and 1 percentage point. The time that a bootstrap takes to start is offline time as well, the same for both: none, or 5 s
where the row says so. *1000 hosts lost*: all of them in the same second, with connections of that age. Each then asks for its keys and its script.
After connections of 10 minutes or more, and when the first reconnect fails, the hosts are spread over 15 s; before that, over 2 s.

Verification after the name's change is 1 s here and not 10 s (\`AGENT_LIMIT_VERIFY\`), to make the run shorter; only *the command
ends* and *all is tidy* show it. Memory is that of the agent's process 20 s after its start, beside an idle Node with the same flags in the
same image, each while the other is away. CPU is the process's own and its children's, as \`times\` of the shell that started it says. [How fast cleanup
is](cleanup-benchmark.md) has more of the last line.
`;
}

function rowOf({ subject, name, unit, ours, reference, ratio, bound, kept }: Figure): readonly string[] {
  return [
    `${subject}: ${name}`,
    withUnit(ours, unit),
    reference === undefined ? '' : withUnit(reference, unit),
    ratio === undefined ? '' : ratio.toFixed(2),
    bound === undefined ? '' : boundText(bound, unit),
    kept === undefined ? '' : kept ? '✓' : '✗',
  ];
}

function withUnit({ min, median, max, rounds }: Spread, unit: Unit): string {
  return `${median} ${unit}${rounds > 1 ? ` (${min}–${max})` : ''}`;
}

function boundText({ kind, value }: Bound, unit: Unit): string {
  switch (kind) {
    case 'at-most':
      return `≤ ${value} ${unit}`;
    case 'ratio-at-most':
      return `≤ ${value} ×`;
    case 'ratio-at-least':
      return `≥ ${value} ×`;
  }
}
