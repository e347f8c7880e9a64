import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { selectProfile } from '../../src/agent/identity/profile.ts';
import { workerVariables } from '../../src/agent/worker/request.ts';
import { helpRows, variableGroups } from '../../src/cli/variables.ts';
import {
  imagesAllowedVariable,
  metricsVariable,
  profileNames,
  transportVariables,
} from '../../src/support/configuration.ts';

const root = join(import.meta.dirname, '../..');
const described = new Set(variableGroups.flatMap(({ rows }) => rows.flatMap(({ names }) => names)));
/** What every process has, and what the server or the script decides. */
const notSettings = new Set(['PATH', 'HOME', 'TERM', 'REQUIRED_IMAGE', 'UV_THREADPOOL_SIZE']);

function sourceOf(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** Keys of anything that is called an environment, in lower case: proxies are read in both. */
function variablesRead(): readonly string[] {
  const files = globSync(['src/**/*.ts', 'image/main.ts'], { cwd: root });
  const read = files.flatMap((file) =>
    [...sourceOf(file).matchAll(/(?:[eE]nvironment|overrides|given|env)\??\[\s*'([A-Za-z_]+)'\s*\]/g)].map(
      ([, name = '']) => name,
    ),
  );
  const listed = profileNames.flatMap((name) => selectProfile(name, {}).passedEnvironment);
  return [
    ...new Set([
      ...read,
      ...listed,
      ...Object.values(workerVariables),
      metricsVariable,
      imagesAllowedVariable,
      ...transportVariables,
    ]),
  ];
}

it('every variable that the program reads is in the table of the help and of docs/configuration.md', () => {
  const read = variablesRead().filter((name) => !notSettings.has(name));
  const known = new Set([...described].map((name) => name.toLowerCase()));
  expect(read.length).toBeGreaterThan(45);
  expect(read.filter((name) => !known.has(name.toLowerCase()))).toEqual([]);
});

it('every variable of the table is in the source', () => {
  const files = globSync(['src/**/*.ts'], { cwd: root }).filter((file) => file !== 'src/cli/variables.ts');
  const source = files.map(sourceOf).join('\n');
  expect([...described].filter((name) => !source.includes(name))).toEqual([]);
});

it('no variable is described twice', () => {
  expect(described.size).toBe(
    variableGroups.flatMap(({ rows }) => rows.flatMap(({ names }) => names)).length,
  );
  expect(helpRows().length).toBeGreaterThan(15);
});
