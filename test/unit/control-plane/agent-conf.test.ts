import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { anyText } from '../../support/server/any-text.ts';
import { addToAgentConf, parseAgentConf, readAgentConf } from '../../../src/control-plane/agent-conf.ts';
import { isRoot } from '../host/files/small-disk.ts';
import { quoteForShell } from '../../../src/control-plane/shell/assignment.ts';

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'agent-conf-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe('agent.conf', () => {
  it.each<[string, string]>([
    ['export A=plain', 'plain'],
    ['A=plain', 'plain'],
    ['  export  A=plain  ', 'plain'],
    ['export A="two words"', 'two words'],
    ["export A='single $HOME `x`'", 'single $HOME `x`'],
    ['export A="with \\" quote and \\\\ and \\$ and \\n"', 'with " quote and \\ and $ and \\n'],
    ['export A=a\\ b', 'a b'],
    ['export A=a"b c"\'d e\'', 'ab cd e'],
    ['export A=', ''],
    ['export A=x # comment', 'x'],
    ['export A=x#y', 'x#y'],
    ['A=a~', 'a~'],
    ['A=a=~', 'a=~'],
    ['export A="~"', '~'],
    ['export A=\\~', '~'],
    ['export A=""~', '~'],
    ['A={a,b}', '{a,b}'],
    ['export A={a}', '{a}'],
    ['export A={a', '{a'],
    ['export A=a,b}', 'a,b}'],
    ['export A="{a,b}"', '{a,b}'],
    ['export A=\\{a,b}', '{a,b}'],
    ['export A={a\\,b}', '{a,b}'],
    ['export A=/var/lib/rancher/etc/ssl/ca.crt\r', '/var/lib/rancher/etc/ssl/ca.crt'],
  ])('%j sets A to %j', (line, value) => {
    expect(parseAgentConf(`${line}\n`)).toEqual({ variables: { A: value }, problems: [] });
  });

  it('with half a million lines that are none writes a few lines into the log', () => {
    const { variables, problems } = parseAgentConf(`${'x\n'.repeat(500_000)}export A=b\n`);
    expect(variables).toEqual({ A: 'b' });
    expect(problems).toHaveLength(21);
    expect(problems.at(-1)).toBe('499980 more lines are left out');
  });

  it.each([
    'export A=$HOME',
    'export A="$(touch /tmp/x)"',
    'export A=`id`',
    'export A="open',
    "export A='open",
    'export A=x; rm -rf /',
    'export A=x y',
    'export A=x && y',
    'export A=x>y',
    'export A=x\\',
    'export A=~',
    'A=~/ca.crt',
    'A=a:~',
    'A=:~root/x',
    'export A="a":~',
    "A='':~",
    'export A={a,b}',
    'export A=x{a,b}y',
    'export A={1..3}',
    'export A={"a",b}',
    'export A={{a,b}',
    'export A',
    'A = x',
    'export 1A=x',
    'export A-B=x',
    'if true; then',
    'export A="x"#y z',
  ])('%j is left out and reported, without its value', (line) => {
    const conf = parseAgentConf(`export B=kept\n${line}\nexport C=kept\n`);
    expect(conf.problems).toEqual([expect.stringMatching(/^line 2 /) as string]);
    expect(conf.variables['A']).toBeUndefined();
    expect(conf.variables).toEqual({ B: 'kept', C: 'kept' });
  });

  it('of several values the last counts; comments and empty lines say nothing', () => {
    expect(parseAgentConf('# x\n\nexport A=1\n  # y\nexport A=2')).toEqual({
      variables: { A: '2' },
      problems: [],
    });
  });

  it('__proto__ is a name like any other', () => {
    expect(Object.keys(parseAgentConf('export __proto__=x\n').variables)).toEqual(['__proto__']);
  });

  it('whatever it holds is read without a crash', () => {
    fc.assert(
      fc.property(anyText(), (text) => {
        const { variables } = parseAgentConf(`export A=${text}`);
        for (const name of Object.keys(variables)) expect(name).toMatch(/^[A-Za-z_]\w*$/);
      }),
    );
  });

  it('means to us what it means to a shell', () => {
    const unit = fc.constantFrom(
      'a',
      ' ',
      '"',
      "'",
      '\\',
      '#',
      '/',
      '=',
      '.',
      ':',
      ',',
      '{',
      '}',
      'é',
      '~',
      '*',
    );
    fc.assert(
      fc.property(fc.string({ unit }), fc.constantFrom('export ', ''), (text, declaration) => {
        const { variables, problems } = parseAgentConf(`${declaration}A=${text}`);
        if (problems.length > 0) return;
        const script = `${declaration}A=${text}\nprintf %s "$A"`;
        const originalMessage = execFileSync('/bin/bash', ['-f'], {
          input: script,
          encoding: 'utf8',
          stdio: 'pipe',
        });
        expect(originalMessage).toBe(variables['A']);
      }),
      { numRuns: 120 },
    );
  });

  it('any value is written so that it is read back', () => {
    fc.assert(
      fc.property(
        anyText().filter((text) => !/[\r\n\0]/.test(text)),
        (value) => {
          expect(parseAgentConf(`export A=${quoteForShell(value)}\n`).variables['A']).toBe(value);
        },
      ),
    );
  });
});

describe('the file', () => {
  it('is empty when there is none, and a problem when it cannot be read', async () => {
    const folder = await makeFolder();
    expect(await readAgentConf(join(folder, 'agent.conf'))).toEqual({ variables: {}, problems: [] });
    await mkdir(join(folder, 'a'));
    expect((await readAgentConf(join(folder, 'a'))).problems).toEqual([
      `the file cannot be read (${folder}/a is a folder)`,
    ]);
  });

  it('keeps its lines when something is added, once', async () => {
    const folder = await makeFolder();
    const file = join(folder, 'etc', 'agent.conf');
    await addToAgentConf(file, { A: '/x/ca.crt' });
    await writeFile(file, `${await readFile(file, 'utf8')}# by hand\nexport B="\${C}"`);
    await addToAgentConf(file, { A: '/x/ca.crt', D: 'two words' });
    await addToAgentConf(file, { A: '/x/ca.crt', D: 'two words' });
    expect(await readFile(file, 'utf8')).toBe(
      'export A=/x/ca.crt\n# by hand\nexport B="${C}"\nexport D=\'two words\'\n',
    );
    expect(await readdir(join(folder, 'etc'))).toEqual(['agent.conf']);
  });

  it.each([0o600, 0o640, 0o644])(
    'keeps its mode (%o), and its owner, when something is added',
    async (mode) => {
      const folder = await makeFolder();
      const file = join(folder, 'agent.conf');
      await writeFile(file, 'export http_proxy=http://u:password@p:3128\n');
      await chmod(file, mode);
      if (isRoot) await chown(file, 1_000, 1_001);
      await addToAgentConf(file, { CURL_CA_BUNDLE: '/x/ca.crt' });
      const found = await stat(file);
      expect(found.mode & 0o7777).toBe(mode);
      if (isRoot) expect([found.uid, found.gid]).toEqual([1_000, 1_001]);
      expect(await readFile(file, 'utf8')).toContain('export CURL_CA_BUNDLE=/x/ca.crt\n');
    },
  );

  it('is never readable by others while it is replaced', async () => {
    const folder = await makeFolder();
    const file = join(folder, 'agent.conf');
    await writeFile(file, `export A=${'x'.repeat(900_000)}\n`);
    await chmod(file, 0o600);
    const seen = new Set<number>();
    let isOver = false;
    const adding = addToAgentConf(file, { B: 'b' }).finally(() => (isOver = true));
    while (!(isOver as boolean)) {
      for (const name of await readdir(folder)) {
        const found = await stat(join(folder, name)).catch(() => undefined);
        if (found !== undefined) seen.add(found.mode & 0o777);
      }
    }
    await adding;
    expect([...seen]).toEqual([0o600]);
  });

  it('is not damaged when it cannot be replaced', async () => {
    const folder = await makeFolder();
    const file = join(folder, 'agent.conf');
    await writeFile(file, 'export A=1\n');
    await writeFile(join(folder, 'blocker'), '');
    await chmod(file, 0o600);
    await expect(addToAgentConf(join(folder, 'blocker', 'agent.conf'), { A: '2' })).rejects.toThrow(
      'there is a file in its place',
    );
    expect(await readFile(file, 'utf8')).toBe('export A=1\n');
  });
});
