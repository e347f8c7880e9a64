import { describe, expect, it } from 'vitest';
import { parseArguments } from '../../../src/cli/arguments.ts';
import { renderHelp } from '../../../src/cli/help.ts';

describe('--force', () => {
  it.each([
    [['http://server/v1/scripts/T', '--force'], true],
    [['http://server/v1/scripts/T'], false],
    [['--debug', 'http://server/v1/scripts/T', '--force'], true],
  ])('%j: a registration with force %s', (argv, force) => {
    expect(parseArguments(argv)).toMatchObject({ kind: 'register-url', force });
  });

  it.each(['upgrade', 'register'])('reaches %s', (name) => {
    expect(parseArguments([name, '--force'])).toEqual({ kind: 'command', name, args: ['--force'] });
  });

  it('after -- belongs to the command that is run', () => {
    expect(parseArguments(['--', 'rm', '--force'])).toEqual({
      kind: 'become',
      command: ['rm', '--force'],
    });
  });

  it('is in the help, with what it does', () => {
    expect(renderHelp('1').replace(/\s+/g, ' ')).toMatch(
      /--force .*replace an unmanaged container that has the agent's name/,
    );
  });
});

describe('--offline', () => {
  it.each([
    [['--offline'], ['--offline']],
    [
      ['--debug', '--force', '--offline'],
      ['--force', '--offline'],
    ],
  ])('reaches upgrade: %j', (words, args) => {
    expect(parseArguments(['upgrade', ...words])).toEqual({ kind: 'command', name: 'upgrade', args });
  });

  it('is an option of upgrade alone: commands with options of their own refuse it', () => {
    for (const name of ['ready', 'doctor', 'status', 'cleanup']) {
      expect(() => parseArguments([name, '--offline'])).toThrow(`${name}: unknown argument: --offline`);
    }
  });

  it('after -- belongs to the command that is run', () => {
    expect(parseArguments(['--', 'upgrade', '--offline'])).toMatchObject({ kind: 'become' });
  });

  it('is in the help, with what it does', () => {
    expect(renderHelp('1').replace(/\s+/g, ' ')).toContain('(--offline: do not ask the server)');
  });
});

describe('commands that the legacy script did not have', () => {
  it.each([
    ['status', ['--json', '--watch']],
    ['doctor', ['--json']],
    ['ready', ['--json']],
  ])('accept their own options: %s', (name, args) => {
    expect(parseArguments([name, ...args])).toEqual({ kind: 'command', name, args });
  });

  it.each([
    ['status', '--wach'],
    ['doctor', '--watch'],
    ['ready', '--force'],
  ])('refuse others and list their own: %s %s', (name, word) => {
    expect(() => parseArguments([name, word])).toThrow(`${name}: unknown argument: ${word}`);
  });

  it.each([
    [['register', 'http://s:8080/v1/scripts/A'], 'leave out the argument'],
    [['s:8080/v1/scripts/A'], 'begins with http://'],
  ])('refuse %j, which would register nothing, and say how', (argv, hint) => {
    const parse = (): unknown => parseArguments(argv);
    expect(parse).toThrow(expect.objectContaining({ hint: expect.stringContaining(hint) as string }));
  });
});

it('the help fits 80 columns', () => {
  for (const line of renderHelp('1.2.3').split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
});
