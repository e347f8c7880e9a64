import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseRegistrationScript,
  readRegistrationScript,
} from '../../../../src/control-plane/registration/script.ts';
import { anyText } from '../../../support/server/any-text.ts';
import { ConfigurationError, ServerUnavailableError } from '../../../../src/support/errors.ts';

const lines = [
  'export CATTLE_REGISTRATION_ACCESS_KEY="registrationToken"',
  'export CATTLE_REGISTRATION_SECRET_KEY="ABC:123:xyz"',
  'export CATTLE_URL="http://h:8080/v1"',
  'export DETECTED_CATTLE_AGENT_IP="10.0.0.1"',
];
const script = `#!/bin/sh\n\n${lines.join('\n')}\n`;
const values = {
  accessKey: 'registrationToken',
  secretKey: 'ABC:123:xyz',
  cattleUrl: 'http://h:8080/v1',
  detectedAgentIp: '10.0.0.1',
};

describe('the registration script of a server', () => {
  it('is read', () => {
    expect(parseRegistrationScript(script)).toEqual({ ok: true, script: values });
  });

  it('may lack the detected address, and may quote otherwise', () => {
    const text = `#!/bin/sh\n${lines.slice(0, 2).join('\n')}\nCATTLE_URL='http://h:8080/v1'\n`;
    expect(parseRegistrationScript(text)).toEqual({
      ok: true,
      script: { ...values, detectedAgentIp: undefined },
    });
  });
});

describe('a text that is not the registration script', () => {
  const withValue = (value: string) => script.replace('10.0.0.1', value);
  it.each<[string, string, RegExp]>([
    ['with sh in the middle of a web page', `<html>x!/bin/sh\n${script}`, /first line/],
    ['with a longer first line', script.replace('#!/bin/sh', '#!/bin/shady'), /first line/],
    ['with a space before it', ` ${script}`, /first line/],
    ['with a byte order mark', `\uFEFF${script}`, /first line/],
    ['with CRLF ends', script.replaceAll('\n', '\r\n'), /CRLF/],
    ['with one CR inside', withValue('10.0.0.1\r'), /CRLF/],
    ['cut off in a line', script.slice(0, -10), /cut off/],
    ['cut off at the end of a line', script.slice(0, -1), /cut off/],
    ['without URL', script.replace(/export CATTLE_URL.*\n/, ''), /CATTLE_URL is missing/],
    ['with an empty URL', script.replace('http://h:8080/v1', ''), /CATTLE_URL is missing/],
    ['without keys', script.replace(/export CATTLE_REG.*\n/g, ''), /keys are missing/],
    ['with another command', `${script}curl http://e | sh\n`, /line 7 is not of the form/],
    ['with another variable', `${script}export PATH="/tmp"\n`, /line 7 sets something other/],
    ['with a variable twice', `${script}${lines[2] ?? ''}\n`, /CATTLE_URL a second time/],
    ['with a second command on a line', withValue('1"; touch /tmp/x; "'), /line 6/],
    ['with a substitution', withValue('$(touch /tmp/x)'), /line 6 would be computed/],
    ['with a backtick', withValue('`touch /tmp/x`'), /line 6 would be computed/],
    ['with a variable in it', withValue('$HOME'), /line 6 would be computed/],
    ['with an escaped quote', withValue('1\\"2'), /line 6 has a character/],
    ['with a backslash', withValue('1\\2'), /line 6 has a character/],
    ['with a quote inside', withValue('1"2'), /line 6/],
    ['with a single quote inside', withValue("1'2"), /line 6 has a character/],
    ['with a line break in a value', withValue('1\n2'), /line 6 has a quote that is not closed/],
    ['with a continued line', script.replace('="10', '=\\\n"10'), /line 6/],
    ['with a NUL byte', withValue('1\0'), /line 6 has a character/],
    ['with a Unicode line separator', withValue('1\u2028'), /line 6 has a character/],
    ['empty', '', /first line/],
  ])('%s is refused', (_name, text, problem) => {
    const parsed = parseRegistrationScript(text);
    expect(parsed).toMatchObject({ ok: false, problem: expect.stringMatching(problem) as string });
  });

  it('whatever it is, gives plain values or a problem that repeats no value', () => {
    const value = fc.oneof(fc.string(), fc.constantFrom('$(x)', '`x`', '"', "'", '\\', '\n', '\r', '#', ';'));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 8 }), fc.nat(4), (parts, at) => {
        const changed = [...lines];
        changed[at] = `export CATTLE_URL="${parts.join('')}"`;
        const parsed = parseRegistrationScript(`#!/bin/sh\n${changed.join('\n')}\n`);
        if (!parsed.ok) return;
        for (const each of Object.values(parsed.script)) expect(each).not.toMatch(/[$`"'\\\n\r\0]/);
      }),
    );
    fc.assert(
      fc.property(anyText(), (text) => {
        expect(parseRegistrationScript(text).ok).toBe(false);
        expect(parseRegistrationScript(`#!/bin/sh\n${text}`).ok).toBe(false);
      }),
    );
  });
});

describe('the answer to a request for the script', () => {
  const answer = (status: number, text: string, type = 'text/plain') => ({
    status,
    text,
    headers: { 'content-type': type },
    url: 'http://h/v1/scripts/TOKEN',
  });

  it('is a mistake of the person when the token is unknown', () => {
    const read = () =>
      readRegistrationScript(
        answer(404, '{"type":"error","status":404,"code":"Not Found","message":"Not Found"}'),
      );
    expect(read).toThrow(ConfigurationError);
    expect(read).toThrow(/does not know the registration token in http:\/\/h\/v1\/scripts\/\*\*\*$/);
  });

  it('is a fault of the server in every other case, and names what came instead', () => {
    expect(() => readRegistrationScript(answer(200, '<html></html>', 'text/html'))).toThrow(/web page/);
    expect(() => readRegistrationScript(answer(200, ''))).toThrow(/empty/);
    expect(() => readRegistrationScript(answer(200, script.replaceAll('\n', '\r\n')))).toThrow(/CRLF/);
    expect(() => readRegistrationScript(answer(500, ''))).toThrow(/status 500/);
    expect(() => readRegistrationScript(answer(500, ''))).toThrow(ServerUnavailableError);
  });
});
