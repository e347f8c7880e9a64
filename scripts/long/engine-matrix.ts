/** See scripts/long/engine-matrix. Every cell is a vitest run of its own; its result is kept before the next one begins. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  globSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import {
  columns,
  engineNames,
  renderEnginePage,
  withCell,
  type EngineCell,
  type EngineMatrix,
  type EngineName,
  type EngineVersions,
} from '../../test/support/faults/engine-matrix.ts';
import { callEngine } from '../../test/support/host/engine-call.ts';
import { startHost } from '../../test/support/host/host.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const RESULTS = join(ROOT, 'docs', 'development', 'engine-matrix.json');
const PAGE = join(ROOT, 'docs', 'development', 'engine-matrix.md');
const LOGS = join(ROOT, '.cache', 'engine-matrix');
/** What a cell says nothing about when it changes. */
const NOT_TESTED = [':!docs', ':!*.md', ':!test/unit', ':!test/repo'];

type Column = Pick<EngineCell, 'engine' | 'api'>;

process.exitCode = await main();

async function main(): Promise<number> {
  const wanted = readArguments();
  if (wanted?.report !== undefined) return keepReport(wanted.report);
  if (wanted === undefined) {
    console.error(
      'usage: scripts/long/engine-matrix [--engine NAME]... [--api VERSION]... [--missing] [--list] [FILE...] | --keep REPORT',
    );
    return 64;
  }
  const cells = wanted.files.flatMap((file) => wanted.columns.map((column) => ({ ...column, file })));
  const due = wanted.onlyMissing ? cells.filter((cell) => !isGreen(readMatrix(), cell)) : cells;
  if (wanted.onlyList) {
    for (const { engine, api, file } of due) console.log(`${engine} ${api} ${file}`);
    return 0;
  }
  mkdirSync(LOGS, { recursive: true });
  const versions = new Map<EngineName, EngineVersions>();
  let failed = 0;
  for (const it of due) {
    chooseEngine(it.engine);
    const found = versions.get(it.engine) ?? (await readVersions());
    versions.set(it.engine, found);
    const cell = runCell(it);
    const { engines, cells: known } = readMatrix();
    const matrix = { engines: { ...engines, [it.engine]: found }, files: allFiles(), cells: known };
    await writeMatrix(withCell(matrix, cell));
    failed += cell.failures.length;
    const figures = `${cell.passed} passed, ${cell.failures.length} failed (${cell.seconds} s)`;
    console.log(`${it.engine} ${it.api} ${it.file}: ${figures}`);
    for (const name of cell.failures) console.log(`  ✗ ${name}`);
  }
  return failed === 0 ? 0 : 1;
}

function readArguments():
  | {
      columns: readonly Column[];
      files: readonly string[];
      onlyMissing: boolean;
      onlyList: boolean;
      report?: string;
    }
  | undefined {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        engine: { type: 'string', multiple: true },
        api: { type: 'string', multiple: true },
        missing: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        keep: { type: 'string' },
      },
    });
    const { engine: engines = engineNames, api: apis, missing, list, keep } = values;
    const files = positionals.length === 0 ? allFiles() : positionals;
    const isKnown = (name: string): name is EngineName => engineNames.some((it) => it === name);
    if (!engines.every(isKnown) || !files.every((file) => allFiles().includes(file))) return undefined;
    if (apis?.some((api) => !/^(own|1\.\d\d)$/.test(api)) === true) return undefined;
    const some = engines.flatMap((engine) => (apis ?? apisOf(engine)).map((api) => ({ engine, api })));
    const report = keep === undefined ? {} : { report: keep };
    return { columns: some, files, onlyMissing: missing, onlyList: list, ...report };
  } catch {
    return undefined;
  }
}

function apisOf(name: EngineName): string[] {
  return columns.filter(({ engine }) => engine === name).map(({ api }) => api);
}

function allFiles(): string[] {
  return globSync(['test/engine/**/*.test.ts', 'test/image/*.test.ts'], { cwd: ROOT }).sort();
}

function isGreen(matrix: EngineMatrix, { engine, api, file }: Column & { file: string }): boolean {
  return matrix.cells.some(
    (it) => it.engine === engine && it.api === api && it.file === file && it.failures.length === 0,
  );
}

/** For hosts that this process and its children start. */
function chooseEngine(name: EngineName): void {
  process.env['TEST_ENGINE'] = name === 'bookworm' ? '' : name;
  // What was found for another engine.
  delete process.env['RAH_ENGINE_ROOT'];
  delete process.env['RAH_TEMPLATE'];
}

async function readVersions(): Promise<EngineVersions> {
  const host = await startHost({ name: 'versions', images: false });
  try {
    const { body } = await callEngine(host.engineSocketPath, 'GET', '/version');
    const answer = body as {
      Version: string;
      ApiVersion: string;
      MinAPIVersion: string;
      Components: { Name: string; Version: string }[];
    };
    const versionOf = (name: string) => answer.Components.find((it) => it.Name === name)?.Version ?? '?';
    return {
      docker: answer.Version,
      api: answer.ApiVersion,
      oldestApi: answer.MinAPIVersion,
      containerd: versionOf('containerd'),
      runc: versionOf('runc'),
    };
  } finally {
    await host.stop();
  }
}

function runCell({ engine, api, file }: Column & { file: string }): EngineCell {
  const name = `${basename(file, '.test.ts')}-${engine}-${api}`;
  const report = join(LOGS, `${name}.json`);
  const log = openSync(join(LOGS, `${name}.log`), 'w');
  rmSync(report, { force: true });
  const commit = describeCommit();
  const begun = Date.now();
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'engine', '--maxWorkers', '1'];
  const reporters = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${report}`];
  const { status } = spawnSync(process.execPath, [...vitest, ...reporters, file], {
    cwd: ROOT,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...(api === 'own' ? {} : { TEST_API: api, MATRIX_API: api }) },
  });
  closeSync(log);
  const seconds = Math.round((Date.now() - begun) / 1000);
  const date = new Date(begun).toISOString().slice(0, 10);
  return { engine, api, file, ...readReport(report, status ?? 1), seconds, commit, date };
}

/** What `scripts/test` found on this machine's own engine. @returns the exit status */
async function keepReport(path: string): Promise<number> {
  chooseEngine('bookworm');
  const { testResults } = readJson(path);
  const { engines, cells } = readMatrix();
  const versions = { ...engines, bookworm: await readVersions() };
  let matrix: EngineMatrix = { engines: versions, files: allFiles(), cells };
  const commit = describeCommit();
  for (const result of testResults) {
    const seconds = Math.round((result.endTime - result.startTime) / 1000);
    const date = new Date(result.startTime).toISOString().slice(0, 10);
    const found = countTests([result], result.status === 'passed' ? 0 : 1);
    const file = relative(ROOT, result.name).replace(/^(\.\.\/)+.*?(?=test\/)/, '');
    if (!allFiles().includes(file)) throw new Error(`not a file of these tests: ${result.name}`);
    matrix = withCell(matrix, { engine: 'bookworm', api: 'own', file, ...found, seconds, commit, date });
  }
  await writeMatrix(matrix);
  return testResults.every(({ status }) => status === 'passed') ? 0 : 1;
}

/** What vitest's reporter writes, as far as it counts here. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    /** Milliseconds since 1970. */
    readonly startTime: number;
    readonly endTime: number;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

function readJson(report: string): Report {
  return JSON.parse(readFileSync(report, 'utf8')) as Report;
}

/** A file that can't be loaded, whose hooks fail, or in which something fails outside of any test, counts as one failure. */
function readReport(report: string, status: number): Pick<EngineCell, 'passed' | 'failures'> {
  if (!existsSync(report)) return { passed: 0, failures: ['(broke off)'] };
  return countTests(readJson(report).testResults, status);
}

function countTests(
  testResults: Report['testResults'],
  status: number,
): Pick<EngineCell, 'passed' | 'failures'> {
  const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
  const failures = tests.filter((it) => it.status !== 'passed').map((it) => it.fullName);
  const passed = tests.length - failures.length;
  return {
    passed,
    failures: failures.length === 0 && (status !== 0 || passed === 0) ? ['(the file)'] : failures,
  };
}

function describeCommit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  const isChanged = git('status', '--porcelain', '--', '.', ...NOT_TESTED) !== '';
  return `${git('rev-parse', '--short=7', 'HEAD')}${isChanged ? '+' : ''}`;
}

function readMatrix(): EngineMatrix {
  if (!existsSync(RESULTS)) return { engines: {}, files: [], cells: [] };
  return JSON.parse(readFileSync(RESULTS, 'utf8')) as EngineMatrix;
}

async function writeMatrix(matrix: EngineMatrix): Promise<void> {
  const cells = matrix.cells.map((cell) => JSON.stringify(cell)).join(',\n');
  const { engines, files } = matrix;
  const text = `{"engines":${JSON.stringify(engines)},\n"files":${JSON.stringify(files)},\n"cells":[${cells}]}`;
  writeFileSync(RESULTS, await format(text, { ...(await resolveConfig(RESULTS)), filepath: RESULTS }));
  writeFileSync(PAGE, renderEnginePage(readMatrix()));
}
