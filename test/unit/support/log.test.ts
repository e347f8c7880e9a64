import { describe, expect, it } from 'vitest';
import { createLog, logToBoth, type Log } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';

interface Heard {
  readonly log: Log;
  readonly lines: string[];
}

function listen(format: 'text' | 'json', debug = false, ...known: string[]): Heard {
  const lines: string[] = [];
  const secrets = createSecrets();
  secrets.add(...known);
  const destination = { write: (line: string) => void lines.push(line) };
  return { log: createLog({ format, debug, secrets, destination }), lines };
}

describe('the text form', () => {
  it('reads as operators know it', () => {
    const { log, lines } = listen('text', true);
    log.info('Starting agent', {
      container: 'rancher-agent',
      tries: 3,
      originalMessage: 'no such thing',
      ports: [1, 2],
    });
    log.debug('a');
    log.warn('b');
    log.error('c');
    expect(lines).toEqual([
      'INFO: Starting agent container=rancher-agent tries=3 originalMessage="no such thing" ports=[1,2]\n',
      'DEBUG: a\n',
      'WARN: b\n',
      'ERROR: c\n',
    ]);
  });

  it('keeps details for those who debug', () => {
    const { log, lines } = listen('text');
    log.debug('a');
    expect(lines).toEqual([]);
  });

  it('carries fields along', () => {
    const { log, lines } = listen('text');
    log.info('begun', { command: 'upgrade', phase: 'pull', image: 'a' });
    expect(lines).toEqual(['INFO: begun command=upgrade phase=pull image=a\n']);
  });
});

describe('the JSON form', () => {
  it('is one object a line, for programs', () => {
    const { log, lines } = listen('json');
    log.warn('said "no"', { container: 'rancher-agent' });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^[^\n]*\n$/);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'warn',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
      message: 'said "no"',
      container: 'rancher-agent',
    });
  });
});

describe.each(['text', 'json'] as const)('secrets in the %s form', (format) => {
  const secret = 'qu"ote\\back\nline';

  it('are masked by what they are, also with quotes in them, wherever they stand', () => {
    const { log, lines } = listen(format, false, secret);
    log.info(`begin ${secret} end`, { at: [{ deep: `x ${secret}` }], originalMessage: secret });
    const [line = ''] = lines;
    expect(line).not.toContain('ote');
    expect(line).toContain('begin *** end');
  });

  it('are masked by their name, however deep', () => {
    const { log, lines } = listen(format);
    log.info('x', {
      CATTLE_SECRET_KEY: 'aaaa',
      registryAuth: 1,
      environment: { password: 'bbbb', url: 'http://s' },
    });
    expect(lines[0]).not.toMatch(/aaaa|bbbb|:1\b/);
    expect(lines[0]).toContain('http://s');
  });

  // A mask that eats the backslash of an escaped quote makes the line unreadable, or the logger throw.
  it.each(['env "TOKEN=abcdef"', 'bad URL "http://s/v1/scripts/ABC"', '"Basic abc="', 'TOKEN="abcdef" x'])(
    'in quotes leave a line that can be read: %s',
    (message) => {
      const { log, lines } = listen(format);
      log.info(message, { originalMessage: message });
      const [line = ''] = lines;
      expect(line).not.toMatch(/abc/i);
      expect(line).toContain('***');
      if (format === 'json') expect(JSON.parse(line)).toHaveProperty('originalMessage');
    },
  );
});

describe('a log that is kept on the host as well', () => {
  it('gets the same lines, with their times', () => {
    const stderr = listen('text', false, 'open-sesame');
    const lines: string[] = [];
    const secrets = createSecrets();
    secrets.add('open-sesame');
    const kept = createLog({
      format: 'text',
      debug: true,
      secrets,
      times: true,
      destination: { write: (line: string) => void lines.push(line) },
    });
    const both = logToBoth(stderr.log, kept);
    both.warn('the key is open-sesame', { task: 'upgrade', tries: 2 });
    both.debug('for those who look at the host');
    expect(stderr.lines).toEqual(['WARN: the key is *** task=upgrade tries=2\n']);
    expect(lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /, ''))).toEqual([
      'WARN: the key is *** task=upgrade tries=2\n',
      'DEBUG: for those who look at the host\n',
    ]);
  });
});
