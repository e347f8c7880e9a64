import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readTree } from '../../scripts/check/tree.ts';
import { renderMetrics } from '../../src/host/files/metrics-file.ts';
import { hostStates } from '../../src/host/files/status.ts';
import { doctorCauses } from '../../src/doctor/causes.ts';
import { checkNames } from '../../src/doctor/finding.ts';
import { readyCauses, stateCauses, type StateCauseRow } from '../../src/support/causes.ts';
import { metricsVariable } from '../../src/support/configuration.ts';
import { agent, diagnosisOf, known, listed, now } from '../unit/fakes/healthy-host.ts';
import { leakedSummary } from '../unit/fakes/leaked.ts';

function document(name: string): string {
  return readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');
}

it('docs/json.md has every member and figure of a diagnosis', () => {
  const text = document('json.md');
  const diagnosis = diagnosisOf({
    agents: known([agent({ state: 'exited', ownEntrypoint: false })]),
    containers: known([
      leakedSummary({ id: '1'.repeat(64), name: 'sad_bohr', createdAt: now - 60_000 }),
      listed({ id: '2'.repeat(64), name: 'web', labels: {}, image: 'nginx', state: 'restarting' }),
    ]),
    key: known('damaged'),
  });
  const words = [
    ...Object.keys(diagnosis),
    ...checkNames,
    ...diagnosis.findings.flatMap(({ figures }) => Object.keys(figures ?? {})),
    ...diagnosis.findings.flatMap((finding) => Object.keys(finding).map((key) => `findings[].${key}`)),
  ];
  expect(words.filter((word) => !text.includes(`\`${word}\``))).toEqual([]);
});

it('every cause that a check can name, or that status.json can hold, is in its table of docs/exit-codes.md', () => {
  const [, states = ''] = document('exit-codes.md').split('## Causes of a state\n');
  const [ofStates = '', rest = ''] = states.split('## Causes of a next agent that is not ready\n');
  const [ofReady = '', ofDoctor = ''] = rest.split('## Causes of the doctor\n');
  const causes = Object.entries(stateCauses).flatMap(([cause, { ends }]) =>
    ends.length === 0 ? [] : [cause],
  );
  expect(causes.length).toBeGreaterThan(30);
  const isMissing = (table: string) => (cause: string) => !table.includes(`| \`${cause}\` |`);
  expect(causes.filter(isMissing(ofStates))).toEqual([]);
  expect(Object.keys(readyCauses).filter(isMissing(ofReady))).toEqual([]);
  expect(Object.keys(doctorCauses).filter(isMissing(ofDoctor))).toEqual([]);
});

it('docs/json.md leads to every table of causes, and has none of its own', () => {
  const text = document('json.md');
  const headings = [...document('exit-codes.md').matchAll(/^## (Causes .*)$/gm)].map(
    ([, title = '']) => title,
  );
  expect(headings).toHaveLength(3);
  const anchors = headings.map((title) => `exit-codes.md#${title.toLowerCase().replaceAll(' ', '-')}`);
  expect(anchors.filter((anchor) => !text.includes(anchor))).toEqual([]);
  expect(text).not.toContain('| cause |');
});

it('docs/runbook.md has an answer for every cause', () => {
  const [, rest = ''] = document('runbook.md').split('| cause | go to |');
  const [answers = ''] = rest.split('\n\n');
  const isShown = ([, { ends }]: [string, StateCauseRow]): boolean => ends.length > 0;
  const causes = [
    ...Object.keys(doctorCauses),
    ...Object.entries(stateCauses)
      .filter(isShown)
      .map(([cause]) => cause),
  ];
  expect(causes.filter((cause) => !answers.includes(`\`${cause}\``))).toEqual([]);
  expect(answers).toContain('`ready-…`');
});

it('no page names a source file or a test that is not there', () => {
  const root = join(import.meta.dirname, '../..');
  const tree = readTree(root);
  const pages = tree.files.filter((file) => file.endsWith('.md') && file !== 'CHANGELOG.md');
  const named = pages.flatMap((page) =>
    [...tree.read(page).matchAll(namedFile)].map(([, name = '']) => ({ page, name })),
  );
  expect(named.length).toBeGreaterThan(100);
  const isThere = (name: string): boolean => {
    const paths = ['', 'src/', 'test/'].flatMap((folder) => [`${folder}${name}`, `${folder}${name}.test.ts`]);
    return globSync(paths, { cwd: root }).length > 0 || tree.files.some((file) => file.endsWith(`/${name}`));
  };
  expect(named.filter(({ name }) => !isThere(name))).toEqual([]);
});

/** A path in backticks that begins with a folder of ours, or the name of a source file. */
const namedFile =
  /`((?:src|test|unit|engine|image|repo|support|cli|commands|doctor|cleanup|agent|control-plane|host)\/[\w./*-]+|[\w-]+(?:\.test)?\.ts)`/g;

it('every cause of the tables is named somewhere in the source', () => {
  const root = join(import.meta.dirname, '../../src');
  const sourceOf = (pattern: string, table: string): string =>
    globSync(pattern, { cwd: root })
      .filter((file) => file !== table)
      .map((file) => readFileSync(join(root, file), 'utf8'))
      .join('\n');
  const isNamedIn = (source: string) => (cause: string) => source.includes(`'${cause}'`);
  const states = sourceOf('{agent,engine,host,support}/**/*.ts', 'support/causes.ts');
  const named = [
    ...Object.keys(stateCauses),
    ...Object.keys(readyCauses).filter((cause) => !cause.includes('WHO')),
  ];
  expect(named.filter((cause) => !isNamedIn(states)(cause))).toEqual([]);
  const checks = sourceOf('{doctor,agent/run}/**/*.ts', 'doctor/causes.ts');
  expect(Object.keys(doctorCauses).filter((cause) => !isNamedIn(checks)(cause))).toEqual([]);
});

it('docs/readiness.md is one page', () => {
  expect(document('readiness.md').trimEnd().split('\n').length).toBeLessThanOrEqual(40);
});

it('docs/json.md has every member, end and cause of a clean-up', () => {
  const text = document('json.md');
  const report = readFileSync(join(import.meta.dirname, '../../src/cleanup/report.ts'), 'utf8');
  const causes = readFileSync(join(import.meta.dirname, '../../src/cleanup/causes.ts'), 'utf8');
  const [, members = ''] = /interface CleanupReport \{(.*?)\n\}/s.exec(report) ?? [];
  const words = [
    ...[...members.matchAll(/^  readonly (\w+)/gm)].map(([, name = '']) => name),
    ...[...causes.matchAll(/case '([a-z-]+)'/g)].map(([, name = '']) => name),
    ...['all', 'failures', 'away', 'interrupted', 'declined'],
  ];
  expect(words.length).toBeGreaterThan(25);
  const isThere = (word: string): boolean => text.includes(`\`${word}\``) || text.includes(`\`${word}[]`);
  expect(words.filter((word) => !isThere(word))).toEqual([]);
});

it('docs/monitoring.md has every metric, every state and the variable', () => {
  const text = document('monitoring.md');
  const rendered = renderMetrics({
    state: 'ok',
    since: now,
    lastSuccessAt: now,
    failedAttempts: 0,
    nextAttemptAt: now,
    unremovable: 0,
    lockAge: 1,
    leaks: { total: 1, lastHour: 1, countedAt: now },
    serving: {
      serving: 'yes',
      since: now,
      lastAnswerAt: now,
      runningSince: now,
      lastExitStatus: 0,
      failuresInARow: 0,
    },
  });
  const metrics = [...rendered.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name);
  expect(metrics).toHaveLength(17);
  expect(metrics.filter((name) => !text.includes(name))).toEqual([]);
  expect(hostStates.filter((state) => !text.includes(`\`${state}\``))).toEqual([]);
  expect(text).toContain(metricsVariable);
});

it('docs/glossary.md is in alphabetical order', () => {
  const entries = [...document('glossary.md').matchAll(/^\| (?!word \|)([^|-][^|]*) \|/gm)].map(
    ([, entry = '']) => entry,
  );
  expect(entries.length).toBeGreaterThan(35);
  expect(entries).toEqual(entries.toSorted((a, b) => a.localeCompare(b, 'en')));
});

it('docs/README.md leads to every page', () => {
  const root = join(import.meta.dirname, '../../docs');
  const index = document('README.md');
  const pages = globSync('**/*.md', { cwd: root }).filter((page) => page !== 'README.md');
  expect(pages.length).toBeGreaterThan(15);
  expect(pages.filter((page) => !index.includes(`](${page})`))).toEqual([]);
});
