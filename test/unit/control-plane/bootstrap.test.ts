import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { anyText } from '../../support/server/any-text.ts';
import { fetchBootstrap, judgeBootstrap } from '../../../src/control-plane/bootstrap.ts';
import { startStubServer } from '../../support/server/stub/stub-server.ts';
import { createTestConnection } from '../../support/server/test-connection.ts';

const keys = { accessKey: 'AGENTKEY', secretKey: 'agent-secret-key' };

async function start() {
  const stub = await startStubServer({ agents: [keys] });
  onTestFinished(() => stub.close());
  const fetch = async () => await fetchBootstrap(createTestConnection().client, `${stub.url}/v1`, keys);
  return { stub, fetch };
}

describe('the bootstrap script', () => {
  it('is fetched whole, with the keys of the agent', async () => {
    const { stub, fetch } = await start();
    const bootstrap = await fetch();
    expect(bootstrap.ok && bootstrap.script).toMatch(
      /^#!\/bin\/bash\n[^]*REQUIRED_IMAGE="rancher\/agent:v1\.2\.11"\n[^]*\n$/,
    );
    expect(stub.requests[0]?.authorization).toMatch(/^Basic /);
  });

  it.each([
    ['empty', 'empty'],
    ['json', 'json'],
    ['html', 'html'],
    ['truncated', 'truncated'],
    ['no-shebang', 'not-a-script'],
  ] as const)('bootstrap=%s is refused as %s', async (bootstrap, refusal) => {
    const { stub, fetch } = await start();
    stub.behaviour.bootstrap = bootstrap;
    expect(await fetch()).toMatchObject({ ok: false, refusal });
  });

  it.each([
    ['reset', 'unreachable'],
    ['hang-accept', 'unreachable'],
    ['hang-body', 'unreachable'],
    ['truncate', 'unreachable'],
    ['chunks', 'unreachable'],
    ['endless', 'unreachable'],
    ['redirect-https', 'unreachable'],
    ['redirect-login', 'html'],
    ['html200', 'html'],
    ['html200-with-schemas', 'html'],
    [{ status: 401 }, 'status'],
    [{ status: 404 }, 'status'],
    [{ status: 500 }, 'status'],
    [{ status: 502, body: 'html' }, 'status'],
    [{ status: 503, body: 'empty' }, 'status'],
  ] as const)('%j is refused as %s', async (fault, refusal) => {
    const { stub, fetch } = await start();
    stub.fault('bootstrap', fault);
    expect(await fetch()).toMatchObject({ ok: false, refusal });
  });

  it('that cannot be fetched leaves the hint of the error, which says what to do', async () => {
    const { stub, fetch } = await start();
    stub.fault('bootstrap', 'redirect-https');
    expect(await fetch()).toMatchObject({ ok: false, hint: expect.stringMatching(/\S/) as string });
  });

  it('is fetched in spite of one lost answer', async () => {
    const { stub, fetch } = await start();
    stub.fault('bootstrap', 'truncate', { times: 1 });
    expect((await fetch()).ok).toBe(true);
  });
});

describe('a text is not run', () => {
  const judge = (text: string, status = 200) => judgeBootstrap({ status, text, headers: {} });

  it.each([
    ['#!/bin/bash\necho half', 'truncated'],
    ['#!/bin/ba', 'truncated'],
    ['#!/bin/bash', 'truncated'],
    ['#!/bin/bash\r\necho\r\n', 'not-a-script'],
    ['#!/bin/bash -e\necho\n', 'not-a-script'],
    ['#!/bin/sh\necho\n', 'not-a-script'],
    ['\n#!/bin/bash\necho\n', 'not-a-script'],
    ['\uFEFF#!/bin/bash\necho\n', 'not-a-script'],
    ['#!/bin/bash\nec\0ho\n', 'not-a-script'],
    [' \n', 'empty'],
    ['{"type":"error"}', 'json'],
    ['"#!/bin/bash"', 'json'],
    ['\n<!doctype html><html>', 'html'],
  ])('%j is %s', (text, refusal) => {
    expect(judge(text)).toMatchObject({ ok: false, refusal });
  });

  it('whatever it is, unless it begins and ends as a script does', () => {
    fc.assert(
      fc.property(anyText(), fc.integer({ min: 100, max: 599 }), (text, status) => {
        expect(judge(text, status).ok).toBe(false);
        expect(judge(`#!/bin/bash\n${text}\n`, status).ok).toBe(status === 200 && !text.includes('\0'));
      }),
    );
  });
});
