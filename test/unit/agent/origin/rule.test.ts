import { describe, expect, it } from 'vitest';
import {
  beginRegistration,
  concludeWork,
  isAccepted,
  judgeServer,
  originOf,
} from '../../../../src/agent/origin/rule.ts';
import type { KeptServer } from '../../../../src/host/files/kept-server.ts';

const now = '2026-01-02T00:00:00.000Z';
const then = '2026-01-01T00:00:00.000Z';
const [a, b, c] = ['https://a.example', 'https://b.example', 'https://c.example'] as const;
const kept: KeptServer = { origin: a, since: then, by: 'registration' };

describe('which server counts', () => {
  it('the kept one, whatever agents say', () => {
    expect(judgeServer({ kept, agents: [b, c] }, now)).toEqual({ server: kept });
  });

  it('without one, that of the first agent: taken, and a change', () => {
    expect(judgeServer({ kept: undefined, agents: [b, c] }, now)).toEqual({
      server: { origin: b, since: now, by: 'agent' },
      change: 'taken',
    });
    expect(judgeServer({ kept: undefined, agents: [] }, now)).toEqual({ server: undefined });
  });

  it('a person’s word changes it', () => {
    const word = { origin: b, by: '--server' } as const;
    expect(judgeServer({ kept, word, agents: [a] }, now)).toEqual({
      server: { origin: b, since: now, by: '--server' },
      change: 'changed',
    });
    expect(judgeServer({ kept, word: { origin: a, by: 'environment' }, agents: [] }, now)).toEqual({
      server: kept,
    });
  });

  it('a line in agent.conf does so as well, and when it is removed the former server counts again', () => {
    const word = { origin: b, by: 'agent.conf' } as const;
    const { server } = judgeServer({ kept, word, agents: [a] }, now);
    expect(server).toEqual({ origin: b, since: now, by: 'agent.conf', before: a });
    expect([a, b, c].map((origin) => isAccepted(server, origin))).toEqual([true, true, false]);
    // A host that kept nothing before knows it from its agent.
    expect(judgeServer({ kept: undefined, word, agents: [a] }, now).server?.before).toBe(a);
  });
});

describe('while a registration is under way', () => {
  it('the keys of before count as well, for a rollback, and afterwards those of the active agent alone', () => {
    const during = beginRegistration({ kept, agents: [a] }, b, now);
    expect(during).toEqual({ origin: b, since: now, by: 'registration', before: a });
    expect(concludeWork(during, b, now)).toEqual({ origin: b, since: now, by: 'registration' });
    expect(concludeWork(during, a, now)).toEqual({ origin: a, since: now, by: 'agent' });
    expect(concludeWork(during, c, now)).toBeUndefined();
    expect(concludeWork(kept, a, now)).toBeUndefined();
  });

  it('those of the agents on this host count, not those of a host that it was', () => {
    expect(beginRegistration({ kept, agents: [b, c] }, b, now).before).toBe(c);
    expect(beginRegistration({ kept, agents: [] }, b, now)).toEqual({
      origin: b,
      since: now,
      by: 'registration',
    });
    expect(beginRegistration({ kept, agents: [a] }, a, now)).toBe(kept);
  });

  it('nothing is concluded about the word of agent.conf', () => {
    expect(concludeWork({ ...kept, by: 'agent.conf', before: b }, a, now)).toBeUndefined();
  });
});

describe('keys', () => {
  it.each([
    [a, true],
    [b, false],
    ['http://a.example', false],
    ['https://a.example:8443', false],
    [undefined, true],
  ])('for %s may be used: %s', (origin, accepted) => {
    expect(isAccepted(kept, origin)).toBe(accepted);
    expect(isAccepted(undefined, origin)).toBe(true);
  });

  it('are for the server in agent.conf, else for that of the container', () => {
    const environment = { CATTLE_URL: 'https://A.example:443/v1' };
    expect(originOf(environment)).toBe(a);
    expect(originOf(environment, { CATTLE_URL: 'http://b.example:8080/v1' })).toBe('http://b.example:8080');
    expect(originOf(environment, { CATTLE_URL: '' })).toBe(a);
    expect(originOf({})).toBeUndefined();
    expect(originOf({ CATTLE_URL: 'file:///etc/passwd' })).toBeUndefined();
  });
});
