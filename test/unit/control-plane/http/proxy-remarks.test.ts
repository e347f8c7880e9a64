import { execFile } from 'node:child_process';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { remarksOnProxies } from '../../../../src/control-plane/http/proxy-remarks.ts';
import { chooseProxy } from '../../../../src/control-plane/http/proxy.ts';

const all = ['http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'];
const proxies = { http_proxy: 'http://p:1', https_proxy: 'http://p:1' };
const remarksOn = (url: string, environment: Record<string, string>, passed: readonly string[] = all) =>
  remarksOnProxies(new URL(url), environment, passed);

describe('what the curl of the bootstrap reads differently', () => {
  it.each([
    [
      '*.domain.com',
      'http://rancher.domain.com/',
      ['curl does not understand the NO_PROXY entry *.domain.com; write .domain.com'],
    ],
    // Both go by way of the proxy.
    ['a,*', 'http://h/', []],
    [
      '10.0.0.0/8',
      'http://10.1.2.3/',
      ['a curl before 7.86 does not understand the NO_PROXY entry 10.0.0.0/8; write 10.1.2.3'],
    ],
    ['h:8080', 'http://h:8080/', ['curl does not understand the NO_PROXY entry h:8080; write h']],
    [
      'fd00:0::1',
      'http://[fd00::1]/',
      ['curl does not understand the NO_PROXY entry fd00:0::1; write fd00::1'],
    ],
    ['*', 'http://h/', []],
    ['.domain.com', 'http://rancher.domain.com/', []],
    ['domain.com,*.domain.com', 'http://rancher.domain.com/', []],
    ['*.elsewhere.com', 'http://rancher.domain.com/', []],
    ['fd00::1', 'http://[fd00::1]/', []],
    ['10.1.2.3', 'http://10.1.2.3/', []],
  ])('of NO_PROXY=%s for %s is %j', (noProxy, url, remarks) => {
    expect(remarksOn(url, { ...proxies, NO_PROXY: noProxy })).toEqual(remarks);
  });

  it('is HTTP_PROXY in capital letters, and what the agent does not get', () => {
    expect(remarksOn('http://h/', { HTTP_PROXY: 'http://p:1' })).toEqual([
      'curl does not read HTTP_PROXY; set http_proxy as well',
    ]);
    expect(remarksOn('https://h/', { HTTPS_PROXY: 'http://p:1' })).toEqual([]);
    expect(remarksOn('https://h/', { ALL_PROXY: 'http://p:1' })).toEqual([
      'the agent does not get ALL_PROXY; set https_proxy instead',
    ]);
    expect(remarksOn('http://h/', {})).toEqual([]);
  });
});

describe('a real curl', () => {
  const run = promisify(execFile);
  const seen: string[] = [];
  const note = (who: string) => (_request: IncomingMessage, response: { end: (text: string) => void }) => {
    seen.push(who);
    response.end(who);
  };
  const [proxy, server] = [createServer(note('proxy')), createServer(note('server'))];
  const portOf = (each: typeof proxy): number => (each.address() as AddressInfo).port;

  beforeAll(async () => {
    for (const each of [proxy, server])
      await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    proxy.close();
    server.close();
  });

  it.each([
    '*',
    'x,*',
    '.domain.com',
    'domain.com',
    '*.domain.com',
    'rancher.domain.com:PORT',
    'x *.domain.com',
    'elsewhere.com',
    '',
  ])('with NO_PROXY=%s goes the way that the remarks say', async (text) => {
    const noProxy = text.replace('PORT', String(portOf(server)));
    const url = `http://rancher.domain.com:${portOf(server)}/`;
    const environment = { http_proxy: `http://127.0.0.1:${portOf(proxy)}`, NO_PROXY: noProxy };
    const { stdout } = await run(
      'curl',
      ['-sS', '--resolve', `rancher.domain.com:${portOf(server)}:127.0.0.1`, url],
      { env: { PATH: process.env['PATH'] ?? '', ...environment } },
    );
    const ours = chooseProxy(new URL(url), environment) === undefined ? 'server' : 'proxy';
    const isSame = remarksOn(url, environment).length === 0;
    expect(stdout === ours, `${stdout}, ours ${ours}`).toBe(isSame);
  });
});
