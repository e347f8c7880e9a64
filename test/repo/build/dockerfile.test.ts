import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checksReadiness, labels } from '../../../src/agent/identity/roles.ts';
import { readinessLabel } from '../../../src/agent/run/readiness/result.ts';

/**
 * What hadolint would say of image/Dockerfile, checked here because no package brings that linter: its rules by number,
 * as far as they can apply to a file without RUN, COPY, USER and WORKDIR.
 */
interface Instruction {
  readonly name: string;
  readonly text: string;
}

const instructions = parse(await readFile(join(import.meta.dirname, '../../../image/Dockerfile'), 'utf8'));
const all = (name: string): readonly string[] =>
  instructions.filter((it) => it.name === name).map(({ text }) => text);

describe('the Dockerfile', () => {
  it('has the instructions that were thought of, and no others (DL3004, DL3043, DL4000, every rule on RUN)', () => {
    const allowed = ['ARG', 'FROM', 'ADD', 'ENV', 'LABEL', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD'];
    for (const { name } of instructions) expect(allowed).toContain(name);
  });

  it('begins with FROM or the ARG of it, and has one of each (DL3061, DL3012, DL4003, DL4004)', () => {
    expect(instructions.slice(0, 2).map(({ name }) => name)).toEqual(['ARG', 'FROM']);
    for (const name of ['FROM', 'ADD', 'ENV', 'LABEL', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD'])
      expect(all(name), name).toHaveLength(1);
  });

  it('names no base by a tag that moves: who builds says which (DL3006, DL3007, DL3026, DL3029)', () => {
    expect(all('FROM')).toEqual(['${BASE_IMAGE}']);
    expect(all('ARG')[0]).toBe('BASE_IMAGE');
  });

  it('adds an archive and nothing else (DL3010, DL3020, DL3045)', () => {
    expect(all('ADD')).toEqual(['rootfs.tar /']);
  });

  it('says what is run as a list, so that no shell is needed (DL3025)', () => {
    for (const name of ['ENTRYPOINT', 'CMD'])
      expect(JSON.parse(all(name)[0] ?? ''), name).toBeInstanceOf(Array);
    expect(JSON.parse(/CMD (.*)$/.exec(all('HEALTHCHECK')[0] ?? '')?.[1] ?? '')).toHaveLength(1);
  });

  it('sets no variable from another one of the same instruction (DL3044)', () => {
    const [text = ''] = all('ENV');
    const names = [...text.matchAll(/(?:^|\s)([A-Z_]+)=/g)].map(([, name = '']) => name);
    expect(names).toEqual(['AGENT_PROFILE', 'RANCHER_AGENT_IMAGE', 'CATTLE_HOME']);
    for (const name of names) expect(text).not.toMatch(new RegExp(`\\$\\{?${name}\\b`));
  });

  it('has the label of an image that proves its readiness on standby', () => {
    expect(all('LABEL')[0]).toContain(`${readinessLabel}=1 `);
    expect(checksReadiness({ [labels.version]: '0.2.0', [readinessLabel]: '1' })).toBe(true);
    expect(checksReadiness({ [labels.version]: '0.1.0' })).toBe(false);
    // An image made from ours cannot take a label away, only empty it.
    expect(checksReadiness({ [labels.version]: '0.2.0', [readinessLabel]: '' })).toBe(false);
    expect(checksReadiness({ [labels.version]: '', [readinessLabel]: '1' })).toBe(false);
  });

  it('has label names that are valid, each once (DL3048), and every argument is declared and used', () => {
    const [text = ''] = all('LABEL');
    const names = [...text.matchAll(/(?:^|\s)([^\s="]+)=/g)].map(([, name = '']) => name);
    expect(names.length).toBeGreaterThan(7);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z][a-z0-9]*([.-][a-z0-9]+)+$/);
    const declared = all('ARG').map((argument) => argument.split('=')[0]);
    const used = instructions.flatMap(({ name, text: it }) =>
      name === 'ARG' ? [] : [...it.matchAll(/\$\{([A-Z_]+)\}/g)].map(([, variable]) => variable),
    );
    expect([...new Set(used)].sort()).toEqual([...declared].sort());
  });
});

describe('the Dockerfile of the builder', () => {
  const read = (file: string): string => readFileSync(join(import.meta.dirname, '../../..', file), 'utf8');
  const builder = parse(read('image/builder/Dockerfile'));

  it('names its base by digest, and refuses one without (DL3006, DL3007)', () => {
    expect(builder[0]).toMatchObject({
      name: 'ARG',
      text: expect.stringMatching(/^BASE=debian:.*@sha256:[0-9a-f]{64}$/) as string,
    });
    expect(builder[1]).toEqual({ name: 'FROM', text: '${BASE}' });
    const [check = ''] = builder.flatMap(({ name, text }) => (name === 'RUN' ? [text] : []));
    expect(check).toContain('sha256:[0-9a-f]{64}');
  });

  it('has no argument but the base: an argument stays in the history', () => {
    const names = builder.flatMap(({ name, text }) => (name === 'ARG' ? [text.split('=')[0]] : []));
    expect(new Set(names)).toEqual(new Set(['BASE']));
  });

  it('gets neither what git ignores nor the configuration of git', () => {
    const left = read('.dockerignore').split('\n');
    expect(left).toContain('.git/config');
    const ignored = read('.gitignore').split('\n').filter(Boolean);
    for (const line of ignored) {
      const name = line.replace(/\/$/, '');
      expect(left, line).toContain(name.startsWith('*') ? `**/${name}` : name);
    }
  });
});

function parse(text: string): readonly Instruction[] {
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  const whole = lines.join('\n').replaceAll(/\\\n\s*/g, '');
  return whole
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => ({ name: line.split(' ')[0] ?? '', text: line.slice(line.indexOf(' ') + 1).trim() }));
}
