/** What `scripts/bench` shows: a table on the terminal and a section of docs/development/benchmark.md. */
import type { Bound, Figure, Spread, Unit } from './figure.ts';
import type { Conditions } from './machine.ts';

export interface Report extends Conditions {
  /** How long the whole run took. */
  readonly seconds: number;
  readonly figures: readonly Figure[];
}

/** The parts of the page, in their order. A run writes one of them and leaves the other. */
export type Section = 'comparison' | 'cleanup';

const marks = (section: Section): readonly [string, string] => [
  `<!-- ${section}: begin -->`,
  `<!-- ${section}: end -->`,
];

/** The page with one section replaced. @throws where the page does not have the section's marks */
export function replaceSection(page: string, section: Section, text: string): string {
  const [begin, end] = marks(section);
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`the page has no section ${section}: ${begin} … ${end}`);
  return `${page.slice(0, from)}${begin}\n\n${text.trim()}\n\n${page.slice(to)}`;
}

const head = ['what', 'this entrypoint', 'reference', 'ratio', 'limit', ''] as const;

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

/** The comparison with a shell script, as Markdown. */
export function renderComparison(report: Report): string {
  const rows = [head, head.map(() => '---'), ...report.figures.map(rowOf)];
  const table = rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
  return `## Beside a shell script

Measured by \`scripts/bench\` on ${report.date}, in ${Math.round(report.seconds / 60)} min: ${report.machine}, Docker ${report.engine}, ${report.driver};
load at the end ${report.load}.

The reference is [the least that an agent's entrypoint in shell must do](../../test/support/images/reference-entrypoint/run.sh), in
our own words: plain \`docker\` commands, no checks, no second try, no rollback. Both run alternately on one engine; the first round
of each is not counted. Figures are medians, with the least and the most in brackets. A ratio is the median of the rounds' own.
\`scripts/bench\` exits with 1 if a limit is not kept.

${table}

The times of an upgrade begin with the \`docker run … upgrade\` that the server's script types.

- *Started*: the \`start\` of the new agent's container in the engine's events. Everything before it is our work: the caller, the
  worker, the checks of storage, image and host. After it comes verification: the new agent must stay up for 1 s before anything of
  the old one is touched. The reference verifies nothing. So the new agent is active later than the reference's, while the old
  one works on. These times are shown, and nothing is promised about them.
- *Active*: the new agent runs and has the agent's name.
- *Its bootstrap runs*: from then on the host has an agent that works for its server.
- *No container of an agent runs*: from the old one's \`die\` to the new one's \`start\`. We start the new one first, hence 0.
- *No bootstrap runs*: from the old agent's \`die\`, or the first signal to it, until the new one's bootstrap runs. The reference
  kills the old agent (\`docker rm -f\`); we send it SIGTERM and wait.
- *Engine requests*: of everybody on the host, from the command until only the agent is left.

Verification after the promotion is 1 s here and not 10 s (\`AGENT_LIMIT_VERIFY\`), to make the run shorter. Only *the command exits*
and *all is tidy* show it.

Reconnecting is simulated: 12 hours of the real loop with a clock of its own. One run of the bootstrap is one connection. *Offline* is
the share of time without one. The reference is the legacy entrypoint, which runs the script, sleeps 5 s and runs it again; the limit
is 1.3 × its share and 1 percentage point. The time that a bootstrap takes to start is offline time for both: none, or 5 s where the
row says so. *1000 hosts lost*: all in the same second, with connections of that age. Each then asks for its keys and its script.
After connections of 10 minutes or more, and when the first reconnect fails, the hosts are spread over 15 s; before that, over 2 s.

Memory is that of the agent's process 20 s after its start, beside an idle Node with the same flags in the same image, each while the
other is away. CPU is that of the process and its children, by \`times\` of the shell that started it.
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
