/**
 * What `scripts/long/engine-matrix` found: which test file passed on which engine. docs/development/engine-matrix.json
 * holds it.
 */

export const engineNames = ['bookworm', 'trixie', 'sid'] as const;
export type EngineName = (typeof engineNames)[number];

/** The versions that the running engine reports. */
export interface EngineVersions {
  readonly docker: string;
  readonly api: string;
  readonly oldestApi: string;
  readonly containerd: string;
  readonly runc: string;
}

/** One test file, run on one engine. */
export interface EngineCell {
  readonly engine: EngineName;
  /** `own`, or the version that containers get to see, e.g. `1.24`. */
  readonly api: string;
  /** e.g. `test/engine/upgrade/upgrade.test.ts` */
  readonly file: string;
  readonly passed: number;
  /** Full names of the tests that failed; a file that can't be loaded counts as one. */
  readonly failures: readonly string[];
  readonly seconds: number;
  /** The commit that was run; with a `+` if something was changed since. */
  readonly commit: string;
  /** e.g. `2026-11-22` */
  readonly date: string;
}

export interface EngineMatrix {
  readonly engines: Readonly<Partial<Record<EngineName, EngineVersions>>>;
  /** Every test file that existed at the time, run or not. */
  readonly files: readonly string[];
  readonly cells: readonly EngineCell[];
}

/** The combinations of engine and API that are run by default. Newer engines refuse an API older than 1.24. */
export const columns: readonly Pick<EngineCell, 'engine' | 'api'>[] = [
  { engine: 'bookworm', api: 'own' },
  { engine: 'trixie', api: 'own' },
  { engine: 'sid', api: 'own' },
  { engine: 'bookworm', api: '1.22' },
  { engine: 'bookworm', api: '1.24' },
  { engine: 'trixie', api: '1.24' },
  { engine: 'sid', api: '1.24' },
];

/** The matrix with this cell in place of an older one. */
export function withCell(matrix: EngineMatrix, cell: EngineCell): EngineMatrix {
  const others = matrix.cells.filter((it) => keyOf(it) !== keyOf(cell));
  return { ...matrix, cells: [...others, cell].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)) };
}

function keyOf({ file, engine, api }: Pick<EngineCell, 'engine' | 'api' | 'file'>): string {
  return [file, engineNames.indexOf(engine), api].join(' ');
}

/** docs/development/engine-matrix.md. */
export function renderEnginePage(matrix: EngineMatrix): string {
  const reds = matrix.cells.filter((cell) => cell.failures.length > 0);
  return `# On engines of several ages

\`scripts/long/engine-matrix\` runs the engine and image tests on Debian's own Docker engines, each with the containerd, runc and iptables
of its suite, all on the kernel of one machine. A test host with another suite's engine has that suite's root folder as its own.
Columns with an API say what the containers get to see of the engine: a proxy in front of it answers as an engine that speaks
nothing newer (1.22: Docker 1.10.3, 1.24: Docker 1.12).

| suite | Docker | API | takes down to | containerd | runc |
| --- | --- | --- | --- | --- | --- |
${engineNames.flatMap((name) => versionRow(name, matrix.engines[name])).join('\n')}

A cell says how many tests passed, and on which commit (with a \`+\`: and changes that were committed later); \`–\`: not run.
${totals(matrix)}

| test file | ${columns.map((column) => titleOf(matrix, column)).join(' | ')} |
| --- |${columns.map(() => ' --- |').join('')}
${matrix.files.map((file) => fileRow(matrix, file)).join('\n')}
${reds.length === 0 ? '' : `\n## Red\n\n${reds.flatMap(redLines).join('\n')}\n`}`;
}

function versionRow(name: EngineName, versions: EngineVersions | undefined): string[] {
  if (versions === undefined) return [];
  const { docker, api, oldestApi, containerd, runc } = versions;
  return [`| ${name} | ${docker} | ${api} | ${oldestApi} | ${containerd} | ${runc} |`];
}

function titleOf(matrix: EngineMatrix, { engine, api }: Pick<EngineCell, 'engine' | 'api'>): string {
  const version = /^\d+\.\d+/.exec(matrix.engines[engine]?.docker ?? '')?.[0] ?? engine;
  return api === 'own' ? version : `${version}, API ${api}`;
}

function fileRow(matrix: EngineMatrix, file: string): string {
  const cells = columns.map((column) => matrix.cells.find((it) => keyOf(it) === keyOf({ ...column, file })));
  return `| ${file.replace(/^test\/|\.test\.ts$/g, '')} | ${cells.map(cellText).join(' | ')} |`;
}

function cellText(cell: EngineCell | undefined): string {
  if (cell === undefined) return '–';
  const { passed, failures, commit } = cell;
  const figures = failures.length === 0 ? `${passed} ✓` : `**${failures.length} ✗**, ${passed} ✓`;
  return `${figures} ${commit}`;
}

function totals({ cells }: EngineMatrix): string {
  const shown = cells.filter((cell) =>
    columns.some((it) => it.engine === cell.engine && it.api === cell.api),
  );
  const passed = shown.reduce((sum, cell) => sum + cell.passed, 0);
  const failed = shown.reduce((sum, cell) => sum + cell.failures.length, 0);
  const days = [...new Set(shown.map(({ date }) => date))].sort();
  const when = days.length > 1 ? `from ${days[0] ?? ''} to ${days.at(-1) ?? ''}` : `on ${days[0] ?? ''}`;
  return `${shown.length} cells were run ${when}: ${passed} tests passed, ${failed} failed.`;
}

function redLines(cell: EngineCell): string[] {
  return cell.failures.map((name) => `- ${cell.engine}, API ${cell.api}, ${cell.file}: ${name}`);
}
