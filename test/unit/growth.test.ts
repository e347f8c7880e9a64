import { describe, expect, it } from 'vitest';
import { lastLinesOf } from '../../src/agent/transaction/last-log.ts';
import { parseAgentConf } from '../../src/control-plane/agent-conf.ts';
import { judgeBootstrap } from '../../src/control-plane/bootstrap.ts';
import { composeEventType } from '../../src/control-plane/events.ts';
import { describeBody, quote, readApiError } from '../../src/control-plane/http/answer.ts';
import { parseRegistrationScript } from '../../src/control-plane/registration/script.ts';
import { blankRequiredImage, readRequiredImage } from '../../src/control-plane/required-image.ts';
import { readFirstCertificate } from '../../src/control-plane/certificates.ts';
import { wrap } from '../../src/cli/wrap.ts';
import { defaultLimits } from '../../src/support/limits/limits.ts';
import { printable, printableLines } from '../../src/support/printable.ts';
import { createSecrets } from '../../src/support/secrets.ts';
import { expectLinear } from '../support/run/growth.ts';

/*
 * Texts of others are read in the event loop, where nothing ends the work: no deadline and no signal. So everything that reads one takes
 * linear time. A pattern that starts again at each character takes quadratic time: 200 kB took 74 s.
 */

const repeated =
  (part: string, end = '') =>
  (length: number): string =>
    part.repeat(Math.ceil(length / part.length)) + end;

const parts: readonly string[] = [
  'a',
  'A_',
  ' ',
  '\t\n',
  'a.b+c-',
  'http://',
  'a://b',
  'x:y@',
  '/scripts/',
  '?key=',
  'Basic ',
  'Bearer\n',
  'CATTLE_',
  'CATTLE_SECRET_KEY',
  'TOKEN="',
  '\x1b[',
  '\x1b[1;',
  '\u202e',
  '{},',
  '[',
  '"',
  "'",
  '\\',
  '<!doctype',
  '-----BEGIN CERTIFICATE-----',
  '-----BEGIN CERTIFICATE-----A\n',
];

describe('takes linear time for texts of others:', () => {
  const secrets = createSecrets();
  secrets.add('open-sesame-123', 'aaaaaaaaaaaa');
  const work: Readonly<Record<string, (text: string) => unknown>> = {
    'masking secrets': (text) => secrets.scrub(text),
    printable,
    printableLines,
    quote,
    'what kind of answer it is': (text) => describeBody({ text, headers: {} }),
    'the error in an answer': (text) => readApiError({ text }),
    'the first certificate': readFirstCertificate,
    'the type of an event': composeEventType,
    'the last lines of a log': (text) => lastLinesOf(text, defaultLimits),
    'agent.conf': (text) => parseAgentConf(`export A=${text}`),
    'the registration script': (text) => parseRegistrationScript(`#!/bin/sh\nexport CATTLE_URL="${text}`),
    'the bootstrap script': (text) => judgeBootstrap({ status: 200, text, headers: {} }),
  };

  it.each(Object.entries(work))('%s', { timeout: 60_000 }, (_name, read) => {
    for (const part of parts) {
      expectLinear(read, repeated(part));
      expectLinear(read, repeated(part, '!'));
    }
  });

  it('lines for a terminal', () => {
    expectLinear((text) => wrap(text, 80), repeated('word '));
    expectLinear((text) => wrap(text, 80), repeated(' '));
  });

  it.each([
    'a',
    ' ',
    '(',
    '`',
    '"',
    "'",
    '\\',
    '$(',
    '${',
    '{',
    '#',
    ';',
    '=',
    '<<A\n',
    'REQUIRED_IMAGE=',
    'REQUIRED_IMAGE="',
    "REQUIRED_IMAGE='",
    'REQUIRED_IMAGE=a ',
    'REQUIRED_IMAGE="a" ',
    'REQUIRED_IMAGE=$(',
    'REQUIRED_IMAGE=`a` ',
    '${REQUIRED_IMAGE:-',
    '${REQUIRED_IMAGE:-a}',
    '"REQUIRED_IMAGE=\'',
    "'REQUIRED_IMAGE=",
    'read REQUIRED_IMAGE',
    'eval REQUIRED_IMAGE ',
    'for a ',
    'printf -v ',
    'a=(',
    'REQUIRED_IMAGE=(',
    '$REQUIRED_IMAGE ',
    'function ',
    '1>',
    'A[',
    '\\\n',
  ])('the image that a script of %j requires', { timeout: 60_000 }, (part) => {
    for (const make of [repeated(part), repeated(part, '\n'), repeated(`${part}x\n`)]) {
      expectLinear((text) => readRequiredImage(`#!/bin/bash\n${text}`), make);
      expectLinear((text) => blankRequiredImage(`#!/bin/bash\n${text}`), make);
    }
  });

  it('and the measurement finds what does not', { timeout: 60_000 }, () => {
    const slow = (text: string): unknown => /([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/i.test(text);
    expect(() => expectLinear(slow, repeated('a'))).toThrow(/not linear/);
  });
});
