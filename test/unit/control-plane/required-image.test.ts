import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blankRequiredImage, readRequiredImage } from '../../../src/control-plane/required-image.ts';
import { createBehaviour } from '../../support/server/stub/stub-behaviour.ts';
import {
  bootstrapMarker,
  composeBootstrap,
  upgradeMarker,
} from '../../support/server/stub/stub-bootstrap.ts';

const script = (body: string) => `#!/bin/bash\n${body}\n`;

/** Runs a text with bash and an environment that would upgrade, without docker. */
function runBash(text: string): string {
  return execFileSync('/bin/bash', ['--noprofile', '--norc'], {
    input: text,
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin', REQUIRED_IMAGE: 'from-environment', REG: 'registry' },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
}

describe('the image that the server requires', () => {
  it.each<[string, unknown]>([
    ['REQUIRED_IMAGE="rancher/agent:v1.2.11"', { kind: 'image', image: 'rancher/agent:v1.2.11' }],
    ["REQUIRED_IMAGE='rancher/agent:v1.2.11'", { kind: 'image', image: 'rancher/agent:v1.2.11' }],
    ['REQUIRED_IMAGE=rancher/agent:v1.2.11', { kind: 'image', image: 'rancher/agent:v1.2.11' }],
    ['export REQUIRED_IMAGE="r:1"', { kind: 'image', image: 'r:1' }],
    ['  REQUIRED_IMAGE="r:1" # comment', { kind: 'image', image: 'r:1' }],
    ['REQUIRED_IMAGE="r:1"; echo', { kind: 'image', image: 'r:1' }],
    ['REQUIRED_IMAGE="r:1"\nREQUIRED_IMAGE="r:1"', { kind: 'image', image: 'r:1' }],
    [
      'REQUIRED_IMAGE="ghcr.io:443/p/node-agent:v1@sha256:abcdef"',
      { kind: 'image', image: 'ghcr.io:443/p/node-agent:v1@sha256:abcdef' },
    ],
    ...[
      'agent',
      'rancher/agent',
      'a/b/c-d_e.f:v1.2_3-x',
      'localhost/agent',
      'localhost:5000/rancher/agent',
      'Registry.Corp:5000/rancher/agent:v1',
      '10.0.0.1/agent@sha256:0123456789abcdef',
      '[fd00::1]:5000/agent:v1',
    ].map((image): [string, unknown] => [`REQUIRED_IMAGE="${image}"`, { kind: 'image', image }]),
    ['REQUIRED_IMAGE=""', { kind: 'none' }],
    ['REQUIRED_IMAGE=', { kind: 'none' }],
    ['REQUIRED_IMAGE=\nREQUIRED_IMAGE="r:1"', { kind: 'image', image: 'r:1' }],
    ['echo "$REQUIRED_IMAGE"', { kind: 'missing' }],
    ['# REQUIRED_IMAGE="r:1"', { kind: 'missing' }],
    ['MY_REQUIRED_IMAGE="r:1"', { kind: 'missing' }],
    ['echo "REQUIRED_IMAGE=r:1"', { kind: 'missing' }],
    ['docker run -e REQUIRED_IMAGE=r:1 x', { kind: 'missing' }],
    ['', { kind: 'missing' }],
  ])('in %j is %j', (body, expected) => {
    expect(readRequiredImage(script(body))).toEqual(expected);
  });

  it.each([
    'REQUIRED_IMAGE="a:1"\nREQUIRED_IMAGE="b:1"',
    'REQUIRED_IMAGE="$OTHER"',
    'REQUIRED_IMAGE=$(curl http://e)',
    'REQUIRED_IMAGE=`id`',
    'REQUIRED_IMAGE="${REG:-docker.io}/agent"',
    'REQUIRED_IMAGE="-v /:/host"',
    'REQUIRED_IMAGE="a b"',
    'REQUIRED_IMAGE="a:1',
    `REQUIRED_IMAGE="${'a'.repeat(513)}"`,
    ...[
      'EVIL/agent',
      'Evil/agent:v1',
      'rancher/Agent',
      'a:b:c',
      'a:b/c:d:e',
      'a@b@sha256:0',
      'a//b',
      '/a',
      'a/',
      'a/b:',
      'a:',
      'a/-b',
      'host.corp:port/a',
      'host.corp/A',
      'a@sha256:xyz',
      'a@sha256',
      '~',
      'a_/b',
      'http://a/b',
    ].map((image) => `REQUIRED_IMAGE="${image}"`),
  ])('in %j is unclear: no ground for an upgrade', (body) => {
    expect(readRequiredImage(script(body)).kind).toBe('unclear');
  });
});

describe('blanking the image', () => {
  it.each([
    'REQUIRED_IMAGE="r:1"',
    "REQUIRED_IMAGE='r:1'",
    'REQUIRED_IMAGE=r:1',
    'REQUIRED_IMAGE=$REG/"r:1"',
    'REQUIRED_IMAGE="a \\" b"',
    'REQUIRED_IMAGE="$(echo "in ) ner")"',
    'REQUIRED_IMAGE=$(echo "(" r:1)',
    'REQUIRED_IMAGE=`echo r:1`',
    'REQUIRED_IMAGE="${REG:-"x}y"}"',
    "REQUIRED_IMAGE=$'r\\'1'",
    'REQUIRED_IMAGE=r\\\n:1',
    'REQUIRED_IMAGE="two\nlines"',
    'REQUIRED_IMAGE=(r:1 r:2)',
    'export REQUIRED_IMAGE="r:1"',
    'export "REQUIRED_IMAGE=r:1"',
    "export 'REQUIRED_IMAGE=r:1'",
    '    declare -x REQUIRED_IMAGE="r:1"',
    'A=1 B=2; REQUIRED_IMAGE="r:1"; C=3',
    'REQUIRED_IMAGE="a:1" REQUIRED_IMAGE="b:1"',
    'REQUIRED_IMAGE=; REQUIRED_IMAGE+=r:1',
    'if true; then REQUIRED_IMAGE="r:1"; fi',
    'true && REQUIRED_IMAGE=r:1 || true',
    'f() { REQUIRED_IMAGE="r:1"; }; f',
    ': ${REQUIRED_IMAGE:=r:1}',
    ': "${REQUIRED_IMAGE=r:1}"',
    ': ${REQUIRED_IMAGE:="${REG}/"r:1}',
    ': don\\\'t; REQUIRED_IMAGE="r:1"',
    '# don\'t\nREQUIRED_IMAGE="r:1"',
    'cat >/dev/null <<EOF\nit\'s "odd\nEOF\nREQUIRED_IMAGE="r:1"',
    'eval "REQUIRED_IMAGE=r:1"',
    '',
  ])('%j leaves the variable empty and the script whole', (body) => {
    const before = script(`${body}\necho "end:\${REQUIRED_IMAGE[*]}:"`);
    const blanked = blankRequiredImage(before);
    if (!blanked.ok) throw new Error(blanked.reason);
    expect(runBash(blanked.script)).toBe('end::\n');
    // Without blanking each of these would upgrade: the test can fail.
    expect(runBash(before)).not.toBe('end::\n');
  });

  it.each([
    'read REQUIRED_IMAGE < /etc/image',
    'IFS= read -r REQUIRED_IMAGE',
    'printf -v REQUIRED_IMAGE %s r:1',
    'for REQUIRED_IMAGE in r:1; do :; done',
    'mapfile -t REQUIRED_IMAGE < f',
    'declare -n REQUIRED_IMAGE=OTHER',
    'REQUIRED_IMAGE="never ends',
    'REQUIRED_IMAGE=$(never ends',
    'while read REQUIRED_IMAGE; do :; done < f',
    'if true; then IFS=" " read -r A REQUIRED_IMAGE; fi',
    'true && builtin read REQUIRED_IMAGE',
    'f() { read REQUIRED_IMAGE; }',
    'f(){ read REQUIRED_IMAGE;}',
    'function f { read REQUIRED_IMAGE; }',
    'read $(echo -r) REQUIRED_IMAGE',
    'read `echo -r` REQUIRED_IMAGE',
    'read 2>&1 REQUIRED_IMAGE',
    '< f read REQUIRED_IMAGE',
    '2>/dev/null read REQUIRED_IMAGE',
    'read \\\n  REQUIRED_IMAGE',
    'read "REQUIRED_IMAGE"',
    '\\read REQUIRED_IMAGE',
    'echo "$(true)"; read REQUIRED_IMAGE',
    'eval "read REQUIRED_IMAGE"',
    'trap "read REQUIRED_IMAGE" EXIT',
    'printf -vREQUIRED_IMAGE r:1',
    'REQUIRED_IMAGE[0]=r:1',
    'let "REQUIRED_IMAGE = 5"',
    // Quotes that span lines, and a here-document with an odd one, hide no command.
    'echo "two\nlines"; read REQUIRED_IMAGE',
    "cat <<EOF\nit's odd\nEOF\nread REQUIRED_IMAGE",
    `read ${'('.repeat(2_000)} REQUIRED_IMAGE`,
  ])('%j is refused: it cannot be blanked', (body) => {
    expect(blankRequiredImage(script(body)).ok).toBe(false);
  });

  it.each([
    '# waiting for REQUIRED_IMAGE',
    ': # read REQUIRED_IMAGE from the server; for REQUIRED_IMAGE in all',
    '# ${REQUIRED_IMAGE:= never ends',
    'echo "waiting for REQUIRED_IMAGE"',
    "echo 'done; read REQUIRED_IMAGE'",
    'echo "for REQUIRED_IMAGE see the manual"',
    'echo waiting for REQUIRED_IMAGE, select REQUIRED_IMAGE',
    'printf "%s" "read REQUIRED_IMAGE"',
    '# don\'t\necho "waiting for REQUIRED_IMAGE"',
    "cat >/dev/null <<EOF\nit's odd\nEOF\necho 'waiting for REQUIRED_IMAGE'",
    'if [ -n "$REQUIRED_IMAGE" ]; then echo "wait for REQUIRED_IMAGE" >&2; fi',
    'read -r ANSWER < /dev/null || echo "no answer for REQUIRED_IMAGE"',
    'for NAME in "$REQUIRED_IMAGE" ${REQUIRED_IMAGE}; do :; done',
    'read MY_REQUIRED_IMAGE < /dev/null',
    "trap 'echo REQUIRED_IMAGE' EXIT",
  ])('%j names the variable without setting it, and stays as it is', (body) => {
    const text = script(`REQUIRED_IMAGE="r:1"\n${body}\necho "end:$REQUIRED_IMAGE:"`);
    expect(readRequiredImage(text)).toEqual({ kind: 'image', image: 'r:1' });
    const blanked = blankRequiredImage(text);
    if (!blanked.ok) throw new Error(blanked.reason);
    expect(blanked.script).toContain(body);
    expect(runBash(blanked.script)).toContain('end::\n');
  });

  it('leaves everything else as it is', () => {
    const body = 'echo "$REQUIRED_IMAGE ${REQUIRED_IMAGE}" # REQUIRED_IMAGE="r:1"\nMY_REQUIRED_IMAGE=x\n';
    expect(blankRequiredImage(script(body))).toEqual({
      ok: true,
      script: `#!/bin/bash\nREQUIRED_IMAGE=\n${body}\n`,
    });
  });

  it.each(['timeout', 'detached'] as const)(
    'the stub upgrades by itself (%s) unless it is blanked',
    (upgradeStyle) => {
      const text = composeBootstrap(
        createBehaviour({ upgradeStyle, bootstrapRun: 'exits' }),
        'rancher/agent:v9',
        '10.0.0.1',
      ).replace('STATE=${CATTLE_STATE_DIR:-/var/lib/rancher/state}', 'STATE=/dev/null/none');
      const withoutDocker = text.replace(
        'set -e\n',
        'docker() { [ "$1" = run ]; }\ntimeout() { shift; "$@"; }\n',
      );
      expect(withoutDocker).not.toBe(text);
      expect(runBash(withoutDocker)).toContain(upgradeMarker);
      const blanked = blankRequiredImage(withoutDocker);
      expect(blanked.ok && runBash(blanked.script)).toBe(`${bootstrapMarker}\n`);
    },
  );

  it('whatever the server inserts, the variable ends up empty or the script is refused', () => {
    const piece = fc.constantFrom(
      'a',
      ':1',
      '"',
      "'",
      '\\',
      ' ',
      '$',
      '(',
      ')',
      '{',
      '}',
      '`',
      '#',
      ';',
      '\n',
      'REQUIRED_IMAGE=',
      'export ',
      '=',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = script(`REQUIRED_IMAGE=${pieces.join('')}`);
        const image = readRequiredImage(text);
        if (image.kind === 'image') expect(image.image).toMatch(/^[\w.:/@-]+$/);
        const blanked = blankRequiredImage(text);
        if (!blanked.ok) return;
        expect(blanked.script).toMatch(/^#!\/bin\/bash\nREQUIRED_IMAGE=\n/);
      }),
      { numRuns: 1_000 },
    );
  });

  it('whatever quoted value the server inserts, bash sees none of it', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', ':', '/', "'", ' ', '#', ';', '$', '\\\\', '\\"', '(', '}') }),
        (value) => {
          const blanked = blankRequiredImage(
            script(`REQUIRED_IMAGE="${value}"\necho "end:$REQUIRED_IMAGE:"`),
          );
          if (blanked.ok) expect(runBash(blanked.script)).toBe('end::\n');
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('reading a script takes linear time', () => {
  /** Each is made of one piece, on a single line unless the piece has a line's end. */
  it.each([
    ['assignments', 'REQUIRED_IMAGE=r:1 '],
    ['assignments in quotes', 'echo "REQUIRED_IMAGE=r:1" '],
    ['assignments in a quote that never ends', "' REQUIRED_IMAGE=r", "'"],
    ['commands that could set it', 'read A; for REQUIRED '],
    ['the name alone', 'read REQUIRED_IMAGE '],
    ['assignments before one of ours', 'A=1 '],
    ['values that span lines', 'REQUIRED_IMAGE="a\nb" '],
    ['expansions', '${REQUIRED_IMAGE:-a} '],
    ['nested substitutions', '$(', 'REQUIRED_IMAGE='],
    ['nested quotes and substitutions', '"$(', 'REQUIRED_IMAGE='],
    ['nested braces', '${A:-', 'REQUIRED_IMAGE='],
    ['nested values', 'REQUIRED_IMAGE=$(', ''],
    ['parentheses', '(', 'read REQUIRED_IMAGE '],
    ['backticks', '`a', 'REQUIRED_IMAGE='],
    ['backslashes', '\\\\', 'REQUIRED_IMAGE='],
    ['comments', '# REQUIRED_IMAGE=\n'],
    ['reserved words', 'then do REQUIRED_IMAGE= '],
  ])('%s', (_title, piece, start = '') => {
    const textOf = (size: number): string => script(start + piece.repeat(Math.ceil(size / piece.length)));
    const read = (text: string): void => {
      readRequiredImage(text);
      blankRequiredImage(text);
    };
    read(textOf(10_000));
    const [small, middle, large] = [50_000, 100_000, 400_000].map((size) =>
      leastTime(() => read(textOf(size))),
    );
    // Eight times the text: linear is 8, quadratic 64. A millisecond is not measured well.
    const grain = 2;
    expect((large ?? Infinity) / ((small ?? 0) + grain)).toBeLessThan(24);
    expect((large ?? Infinity) / ((middle ?? 0) + grain)).toBeLessThan(12);
  });

  /** CPU time of this process, in ms; other processes of the machine do not count. */
  function leastTime(work: () => void): number {
    const times = Array.from({ length: 3 }, () => {
      const before = process.cpuUsage();
      work();
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1_000;
    });
    return Math.min(...times);
  }
});
