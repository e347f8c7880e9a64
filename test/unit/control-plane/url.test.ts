import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findAgentIpProblem, validateAgentIp } from '../../../src/control-plane/agent-ip.ts';
import {
  apiBaseOf,
  describeUrl,
  isSameOrigin,
  moveToOrigin,
  parseServerUrl,
  replaceLoopback,
} from '../../../src/control-plane/url.ts';
import { profileNames } from '../../../src/support/configuration.ts';
import { ConfigurationError } from '../../../src/support/errors.ts';

describe('the URL a person gives', () => {
  it.each([
    ['http://h:8080/v1/scripts/ABC:123:xyz', 'ABC:123:xyz'],
    ['http://h:8080/v1/projects/1a5/scripts/ABC', 'ABC'],
    ['https://h/v2-beta/projects/1a5/scripts/ABC', 'ABC'],
    ['HTTP://h/v1/scripts//ABC', 'ABC'],
    ['http://h/v1/scripts/AB%3AC', 'AB:C'],
    ['http://h:8080', undefined],
    ['http://h:8080/v1/schemas', undefined],
    ['http://h/v1/scripts/bootstrap', undefined],
  ])('%s holds the token %s', (text, token) => {
    expect(parseServerUrl(text, 'rancher-1.2').token).toBe(token);
  });

  it.each([
    'http://localhost:8080/v1/scripts/T',
    'http://LOCALHOST/v1',
    'http://localhost./v1',
    'http://127.0.0.1',
    'http://127.1:8080/',
    'http://2130706433/',
    'http://[::1]:8080/v1',
    'http://[::ffff:127.0.0.1]/v1',
    'http://0.0.0.0:8080',
  ])('%s means this machine and is refused, except in images that replace it', (text) => {
    expect(() => parseServerUrl(text, 'rancher-1.2')).toThrow(ConfigurationError);
    expect(() => parseServerUrl(text, 'pasturestack')).toThrow(/this host itself/);
    expect(parseServerUrl(text, 'rancher-1.0').href).toMatch(/^http:/);
  });

  it.each([
    '',
    'h:8080',
    'ftp://h/v1',
    'file:///etc/passwd',
    'http:h',
    'http://',
    'http://h/v1 extra',
    'http://h\\evil/v1',
    'http://h/v1\n',
  ])('%j is no URL of a server', (text) => {
    expect(() => parseServerUrl(text, 'rancher-1.2')).toThrow(ConfigurationError);
  });

  it('must not carry a user name or password, and the error does not repeat them', () => {
    const parse = () => parseServerUrl('http://admin:hunter22@h/v1', 'rancher-1.2');
    expect(parse).toThrow(/user name or password/);
    expect(parse).not.toThrow(/hunter22/);
  });

  it('never shows a token in an error, whatever is wrong', () => {
    fc.assert(
      fc.property(fc.string(), (noise) => {
        try {
          parseServerUrl(`${noise}http://localhost/v1/scripts/SECRETTOKEN${noise}`, 'rancher-1.2');
        } catch (error) {
          expect(String(error)).not.toContain('SECRETTOKEN');
        }
      }),
    );
  });
});

describe('a URL shown to people', () => {
  it.each([
    ['http://h:8080/v1/scripts/TOKEN', 'http://h:8080/v1/scripts/***'],
    ['http://h/v2-beta/projects/1a5/scripts/TOKEN/more?x=y#z', 'http://h/v2-beta/projects/1a5/scripts/***'],
    ['http://h/v1/scripts//TOKEN', 'http://h/v1/scripts/***'],
    ['http://h/v1/scripts/bootstrap', 'http://h/v1/scripts/bootstrap'],
    ['http://h/v1/scripts/bootstrap/TOKEN', 'http://h/v1/scripts/bootstrap'],
    ['http://h/v1/register?key=HOSTKEY', 'http://h/v1/register'],
    ['http://user:pass@h/v1', 'http://h/v1'],
    ['http://h:8080/', 'http://h:8080'],
    ['nonsense TOKEN', 'an unreadable URL'],
  ])('%s is shown as %s', (url, shown) => {
    expect(describeUrl(url)).toBe(shown);
  });
});

describe('the base of the API', () => {
  it.each([
    ['http://h:8080/v1/scripts/T', 'http://h:8080/v1'],
    ['http://h/v1/projects/1a5/scripts/T', 'http://h/v1'],
    ['http://h/v2-beta/projects/1a5/scripts/T', 'http://h/v2-beta'],
    ['http://h/v1/', 'http://h/v1'],
    ['http://H:80/v1', 'http://h/v1'],
    ['http://h/rancher/v1/schemas', 'http://h/rancher/v1'],
    ['http://h/v10/x', 'http://h/v10/x'],
    ['http://h/scripts/T', 'http://h'],
    ['http://h', 'http://h'],
  ])('of %s is %s', (url, base) => {
    expect(apiBaseOf(url)).toBe(base);
  });
});

describe('links', () => {
  it('compare by scheme, host and port', () => {
    expect(isSameOrigin('http://h/v1', 'http://H:80/other')).toBe(true);
    expect(isSameOrigin('http://h/v1', 'https://h/v1')).toBe(false);
    expect(isSameOrigin('http://h/v1', 'http://h:8080/v1')).toBe(false);
    expect(isSameOrigin('nonsense', 'nonsense')).toBe(false);
  });

  it('are followed at the server that was asked', () => {
    expect(moveToOrigin('http://internal:8081/v1/projects?a=b', 'https://public/v1')).toBe(
      'https://public/v1/projects?a=b',
    );
  });
});

describe('the address of the agent', () => {
  it.each(['10.0.0.1', '192.168.255.255', '1.2.3.4'])('%s is one', (text) => {
    expect(validateAgentIp(text)).toBe(text);
  });

  it.each([
    '127.0.0.1',
    '0.0.0.0',
    '255.255.255.255',
    '256.1.1.1',
    '1.2.3',
    '10.0.0.1, 10.0.0.2',
    'fe80::1',
    '::1',
    'host.example',
    '',
    '10.0.0.1\n',
  ])('%j is none', (text) => {
    expect(findAgentIpProblem(text)).toBeDefined();
    expect(() => validateAgentIp(text)).toThrow(ConfigurationError);
  });
});

describe('an address of this very machine, where v1.0.x agents take it for the host', () => {
  it.each([
    ['http://localhost:8080/v1/scripts/T', 'http://10.0.0.5:8080/v1/scripts/T'],
    ['http://127.0.0.1/v1', 'http://10.0.0.5/v1'],
    ['https://[::1]:8443/v1', 'https://10.0.0.5:8443/v1'],
    ['http://server:8080/v1/scripts/localhost', 'http://server:8080/v1/scripts/localhost'],
    ['http://localhost.example/v1', 'http://localhost.example/v1'],
    ['no URL', 'no URL'],
  ])('%s becomes %s', (text, expected) => {
    expect(replaceLoopback(text, '10.0.0.5')).toBe(expected);
  });

  it('is refused where the host has no other, without the token', () => {
    expect(() => replaceLoopback('http://localhost:8080/v1/scripts/TOKEN', undefined)).toThrow(
      ConfigurationError,
    );
    expect(() => replaceLoopback('http://localhost:8080/v1/scripts/TOKEN', undefined)).not.toThrow(/TOKEN/);
    expect(replaceLoopback('http://server/v1', undefined)).toBe('http://server/v1');
  });
});

describe('what PastureStack refuses besides', () => {
  it('a fragment, which the others ignore', () => {
    expect(() => parseServerUrl('http://server/v1#x', 'pasturestack')).toThrow('must not have a fragment');
    expect(parseServerUrl('http://server/v1#x', 'rancher-1.2').href).toBe('http://server/v1');
  });

  it.each(profileNames)('%s: an endless URL', (profile) => {
    expect(() => parseServerUrl(`http://server/${'x'.repeat(17_000)}`, profile)).toThrow('is not a valid');
  });
});
