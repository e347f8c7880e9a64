import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { anyText } from '../../support/server/any-text.ts';
import { composeEventType, isReportDue, reportState } from '../../../src/control-plane/events.ts';
import { startStubServer, type StubOptions } from '../../support/server/stub/stub-server.ts';
import { createTestConnection } from '../../support/server/test-connection.ts';

const keys = { accessKey: 'AGENTKEY', secretKey: 'agent-secret-key' };

async function start(options: StubOptions = {}) {
  const stub = await startStubServer({ agents: [keys], ...options });
  onTestFinished(() => stub.close());
  const report = async (text: string, connection = createTestConnection()) =>
    await reportState(connection, { cattleUrl: `${stub.url}/v1`, keys, hostUuid: 'uuid-1', text });
  return { stub, report };
}

describe('a report to the server', () => {
  it('is one external host event of a type that does nothing', async () => {
    const { stub, report } = await start();
    expect(await report('failed: cannot create rancher-agent')).toEqual({ sent: true });
    expect(stub.events).toEqual([
      { externalId: 'uuid-1', eventType: 'agent.error: failed: cannot create rancher-agent' },
    ]);
    expect(stub.requests[0]).toMatchObject({
      url: '/v2-beta/externalhostevents',
      enforceAuthentication: 'true',
    });
  });

  it('holds no secret', async () => {
    const { stub, report } = await start();
    const connection = createTestConnection();
    connection.secrets.add('the-host-key');
    await report('failed: key the-host-key at http://h/v1/scripts/C0FFEE', connection);
    expect(JSON.stringify(stub.events)).not.toMatch(/the-host-key|C0FFEE/);
  });

  it.each([
    'reset',
    'hang-accept',
    'html200-with-schemas',
    'redirect-elsewhere',
    { status: 500 },
    { status: 409, body: 'empty' },
  ] as const)('is never fatal and never repeated: %j', async (fault) => {
    const { stub, report } = await start();
    stub.fault('any', fault);
    const outcome = await report('failed');
    if (fault !== 'html200-with-schemas') expect(outcome.sent).toBe(false);
    expect(stub.requests).toHaveLength(1);
  });

  it('is refused by servers before 0.177.1 and for dead keys', async () => {
    for (const options of [{ externalEvents: false }, { agentKeys: 'revoked' as const }]) {
      const { stub, report } = await start(options);
      expect(await report('failed')).toMatchObject({ sent: false });
      expect(stub.events).toEqual([]);
    }
  });
});

describe('the type of an event', () => {
  it('is one line of at most 255 characters with our prefix, whatever the text', () => {
    fc.assert(
      fc.property(anyText(400), (text) => {
        const type = composeEventType(text);
        expect(type).toMatch(/^agent\.error:[^\n\r\0]*$/);
        expect(type.length).toBeLessThanOrEqual(255);
        expect(type.isWellFormed()).toBe(text.isWellFormed() || type.isWellFormed());
      }),
    );
    expect(composeEventType(`${'x'.repeat(241)}😀`).isWellFormed()).toBe(true);
  });
});

describe('whether a report is due', () => {
  const last = { text: 'failed: a', at: 10_000 };
  it.each([
    ['the first', undefined, 'failed: a', 10_000, true],
    ['the same text, soon', last, 'failed: a', 10_001, false],
    ['the same text, later', last, 'failed: a', 10_000_000, false],
    ['another text, too soon', last, 'failed: b', 10_999, false],
    ['another text after the gap', last, 'failed: b', 11_000, true],
    ['another text, clock set back', last, 'failed: b', 0, true],
    ['the same text, clock set back', last, 'failed: a', 0, false],
  ])('%s', (_name, before, text, now, due) => {
    expect(isReportDue(before, text, now, 1_000)).toBe(due);
  });
});
