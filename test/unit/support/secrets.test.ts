import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addEnvironmentSecrets,
  createSecrets,
  isSecretKey,
  safeReport,
  safeValue,
} from '../../../src/support/secrets.ts';

describe('scrub', () => {
  it('masks a secret as it is, URL-encoded and as base64', () => {
    const secrets = createSecrets();
    secrets.add('s3cr3t/+ key');
    for (const form of [
      's3cr3t/+ key',
      's3cr3t%2F%2B%20key',
      Buffer.from('s3cr3t/+ key').toString('base64'),
    ]) {
      expect(secrets.scrub(`said "${form}" twice: ${form}`)).toBe('said "***" twice: ***');
    }
  });

  it('masks the longer one of two that begin alike', () => {
    const secrets = createSecrets();
    secrets.add('abcdef', 'abcdefghij');
    expect(secrets.scrub('abcdefghij')).toBe('***');
  });

  it('masks all of a secret that looks like something else in part', () => {
    const secrets = createSecrets();
    secrets.add('pass word', 'Basic instinct film');
    expect(secrets.scrub('TOKEN=pass word Basic instinct film')).toBe('TOKEN=*** ***');
  });

  it('leaves ordinary words alone when a secret is very short or missing', () => {
    const secrets = createSecrets();
    secrets.add('', 'a', 'true', undefined);
    expect(secrets.scrub('a true story')).toBe('a true story');
  });

  it('lets no secret through, whatever stands around it', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 6 }), fc.string(), fc.string(), (secret, before, after) => {
        const secrets = createSecrets();
        secrets.add(secret);
        fc.pre(!'***'.includes(secret));
        return !secrets.scrub(`${before} ${secret} ${after}`).includes(secret);
      }),
    );
  });

  it.each([
    ['http://s:8080/v1/scripts/9C8:147:secret', 'http://s:8080/v1/scripts/***'],
    ['GET /v1/scripts/ABC?x=1 failed', 'GET /v1/scripts/***?x=1 failed'],
    ['at http://s/v1/scripts/9C8:1:Ab; it says no', 'at http://s/v1/scripts/***; it says no'],
    ['copy http://SERVER:8080/v1/scripts/TOKEN', 'copy http://SERVER:8080/v1/scripts/TOKEN'],
    ['http://s/v1/scripts/bootstrap', 'http://s/v1/scripts/bootstrap'],
    ['https://s/v1/scripts/ca.crt', 'https://s/v1/scripts/ca.crt'],
    ['http://user:pass@proxy:3128/', 'http://***@proxy:3128/'],
    ['Authorization: Basic YTpiY2Q=', 'Authorization: Basic ***'],
    ['Bearer eyJhbGciOi.J9', 'Bearer ***'],
    ['CATTLE_SECRET_KEY=abc CATTLE_URL=http://s', 'CATTLE_SECRET_KEY=*** CATTLE_URL=http://s'],
    ['export CATTLE_ACCESS_KEY="abc"', 'export CATTLE_ACCESS_KEY="***"'],
    ['INFO: env "TOKEN=0123abcd"', 'INFO: env "TOKEN=***"'],
    ['/v1/publish?key=abc&x=1', '/v1/publish?key=***&x=1'],
  ])('knows what a secret looks like: %s', (text, clean) => {
    expect(createSecrets().scrub(text)).toBe(clean);
  });
});

describe('isSecretKey', () => {
  it.each([
    'CATTLE_SECRET_KEY',
    'CATTLE_ACCESS_KEY',
    'TOKEN',
    'Authorization',
    'X-Registry-Auth',
    'db_password',
  ])('%s names a secret', (key) => {
    expect(isSecretKey(key)).toBe(true);
  });
  it.each(['CATTLE_URL', 'CATTLE_HOST_LABELS', 'image', 'container'])('%s does not', (key) => {
    expect(isSecretKey(key)).toBe(false);
  });
});

describe('addEnvironmentSecrets', () => {
  it('learns the values of secret variables only', () => {
    const secrets = createSecrets();
    addEnvironmentSecrets(secrets, {
      CATTLE_SECRET_KEY: 'abcdefgh',
      CATTLE_URL: 'http://server',
      TOKEN: undefined,
    });
    expect(secrets.scrub('abcdefgh at http://server')).toBe('*** at http://server');
  });
});

describe('a report', () => {
  it('stays JSON, and shows no secret, whatever its texts are', () => {
    const anyPart = fc.oneof(
      fc.string(),
      fc.constantFrom('"', '\\', "'", '\n', '\u2028', ' TOKEN=', 'CATTLE_SECRET_KEY="', '://a:b@', '?key='),
    );
    fc.assert(
      fc.property(fc.array(anyPart, { maxLength: 8 }), fc.string({ minLength: 6 }), (parts, secret) => {
        fc.pre(secret.trim() === secret && !'***'.includes(secret));
        const secrets = createSecrets();
        secrets.add(secret);
        const found = { origin: `command "${parts.join('')}" ${secret}`, list: [{ text: secret }] };
        const shown = JSON.parse(JSON.stringify(found, safeValue(secrets))) as typeof found;
        expect(shown).toEqual(safeReport(found, secrets));
        expect(shown.list).toEqual([{ text: '***' }]);
        expect(shown.origin).not.toContain(secret);
      }),
    );
  });

  it('masks a secret with blanks before a line end can cut it in two', () => {
    const secrets = createSecrets();
    secrets.add('correct horse battery');
    expect(safeReport(['it says correct horse battery'], secrets)).toEqual(['it says ***']);
  });
});

it.each([
  ['http://user:it%27s@proxy:3128', ['it%27s', "it's"]],
  ["http://user:it's-me@proxy:3128", ["it's-me"]],
  ['http://user:p@ss@word@proxy', ['p@ss@word']],
  ['user:pass"word@proxy:3128', ['pass"word']],
  ['https://user:$pa&s+s,@rancher.example/v1', ['$pa&s+s,']],
])('of the environment %s, no form of the password gets through', (value, forms) => {
  const secrets = createSecrets();
  addEnvironmentSecrets(secrets, { HTTP_PROXY: value });
  for (const text of [value, ...forms.map((form) => `the proxy says "${form}"`)])
    for (const form of forms) if (form.length >= 6) expect(secrets.scrub(text)).not.toContain(form);
});
