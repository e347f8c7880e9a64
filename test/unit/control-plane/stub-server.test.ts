import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { describe, expect, it, onTestFinished } from 'vitest';
import { composeWholeBootstrap } from '../../support/server/stub/stub-bootstrap-whole.ts';
import { composeBootstrap } from '../../support/server/stub/stub-bootstrap.ts';
import { createBehaviour } from '../../support/server/stub/stub-behaviour.ts';
import { describeSwitches, parseSwitch, throwSwitch } from '../../support/server/stub/stub-switches.ts';
import { startStubServer, type StubOptions } from '../../support/server/stub/stub-server.ts';

/** The stub is the yardstick of every other test here, so what matters of it is held against control-plane §5 and §9. */
const keys = { accessKey: 'AGENTKEY', secretKey: 'agent-secret-key' };
const basic = (accessKey: string, secretKey: string) => ({
  authorization: `Basic ${Buffer.from(`${accessKey}:${secretKey}`).toString('base64')}`,
});

async function start(options: StubOptions = {}) {
  const stub = await startStubServer({ agents: [keys], ...options });
  onTestFinished(() => stub.close());
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${stub.url}${path}`, { headers });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  };
  return { stub, get };
}

describe('schemas by account (control-plane §5.1)', () => {
  const agent = basic(keys.accessKey, keys.secretKey);
  const dead = basic('DEAD', 'dead');
  it.each([
    ['a live key, access control on', 'on', agent, 200, 404],
    ['a live key, access control off', 'off', agent, 200, 404],
    ['a dead key, access control on', 'on', dead, 401, 401],
    ['a dead key, access control off', 'off', dead, 404, 200],
    ['no key, access control off', 'off', {}, 404, 200],
  ] as const)('%s', async (_name, auth, headers, configContent, account) => {
    const { get } = await start({ auth });
    expect((await get('/v1/schemas/configcontent', headers)).status).toBe(configContent);
    expect((await get('/v1/schemas/account', headers)).status).toBe(account);
  });

  it('the header that enforces authentication makes a dead key a 401 everywhere', async () => {
    const { get } = await start({ auth: 'off' });
    const headers = { ...dead, 'x-enforce-authentication': 'true' };
    expect((await get('/v1/schemas/configcontent', headers)).status).toBe(401);
    expect((await get('/v1/schemas/configcontent', { ...headers, ...agent })).status).toBe(200);
  });
});

describe('answers', () => {
  it('outside the API are the user interface; double slashes collapse; scripts need no keys', async () => {
    const { get } = await start({ auth: 'on' });
    const page = await get('/login');
    expect(page.status).toBe(200);
    expect(page.headers.get('x-api-schemas')).toBeNull();
    expect((await get('/v1//scripts//bootstrap')).text).toMatch(/^#!\/bin\/bash\n/);
    expect((await get('/v1/scripts/unknown')).text).toContain('"type":"error"');
    expect((await get('/v1')).status).toBe(401);
  });

  it('name the address that was asked, or what a proxy says', async () => {
    const { stub, get } = await start();
    expect((await get('/v1')).headers.get('x-api-schemas')).toBe(`${stub.url}/v1/schemas`);
    const script = await get(`/v1/scripts/${stub.token}`, {
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'rancher.example',
      'x-forwarded-for': '10.9.8.7, 10.0.0.1',
    });
    expect(script.text).toContain('export CATTLE_URL="https://rancher.example/v1"\n');
    expect(script.text).toContain('export DETECTED_CATTLE_AGENT_IP="10.9.8.7"\n');
  });

  it('flip: several required images alternate', async () => {
    const { stub, get } = await start();
    stub.setRequiredImage('a:1', 'b:2');
    const seen = [];
    for (let i = 0; i < 3; i++) {
      seen.push(/^REQUIRED_IMAGE="(.*)"$/m.exec((await get('/v1/scripts/bootstrap')).text)?.[1]);
    }
    expect(seen).toEqual(['a:1', 'b:2', 'a:1']);
  });

  it('faults happen as often as asked, after as many requests as asked', async () => {
    const { stub, get } = await start();
    stub.fault('bootstrap', { status: 500 }, { times: 1, after: 1 });
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await get('/v1/scripts/bootstrap')).status);
    expect(statuses).toEqual([200, 500, 200]);
  });
});

it.each(['timeout', 'detached'] as const)('the bootstrap script (%s) is valid bash', (upgradeStyle) => {
  for (const bootstrapRun of ['exits', 'fails', 'runs-long', 'waits', 'orphans'] as const) {
    const script = composeBootstrap(createBehaviour({ upgradeStyle, bootstrapRun }), 'r:1', '10.0.0.1');
    execFileSync('/bin/bash', ['-n'], { input: script });
  }
  for (const bootstrapShape of ['rancher', 'pasturestack'] as const) {
    const script = composeWholeBootstrap({ upgradeStyle, bootstrapShape }, 'r:1', '10.0.0.1');
    execFileSync('/bin/bash', ['-n'], { input: script });
  }
});

describe('switches', () => {
  it.each([
    ['script:reset*2', { endpoint: 'script', name: 'reset', times: 2 }],
    ['status=503,html+1', { endpoint: undefined, name: 'status', value: '503,html', after: 1 }],
    ['any:redirect=http://other:80/v1', { endpoint: 'any', name: 'redirect', value: 'http://other:80/v1' }],
    ['apihost=http://other:8080', { name: 'apihost', value: 'http://other:8080' }],
    ['required=', { name: 'required', value: '' }],
  ])('%s is understood', (text, parts) => {
    expect(parseSwitch(text)).toMatchObject(parts);
  });

  it.each([
    ['nonsense', /no such switch/],
    ['nowhere:reset', /no such endpoint/],
    ['script=upside-down', /expected script=ok\|sh-in-html/],
    ['script:auth=on', /takes no endpoint/],
    ['auth=on*2', /takes no endpoint and no counts/],
    ['status=99', /expected status=CODE/],
  ])('%s is refused', (text, words) => {
    expect(() => parseSwitch(text)).toThrow(words);
  });

  it('are thrown while it runs, and healed', async () => {
    const { stub, get } = await start();
    for (const text of ['script=crlf', 'bootstrap:status=500*1', 'hdr=no-kind'])
      await throwSwitch(stub, text);
    expect((await get(`/v1/scripts/${stub.token}`)).text).toContain('\r\n');
    expect((await get('/v1/scripts/bootstrap')).status).toBe(500);
    await throwSwitch(stub, 'refuse');
    await expect(get('/v1')).rejects.toThrow();
    await stub.heal();
    expect((await get(`/v1/scripts/${stub.token}`)).text).not.toContain('\r\n');
  });
});

describe('scripts/stub-server, by hand', () => {
  function startByHand(...args: readonly string[]): { child: ChildProcess; lines: AsyncIterator<string> } {
    const child = spawn('scripts/stub-server', ['--listen', '127.0.0.1:0', ...args], { stdio: 'pipe' });
    onTestFinished(() => void child.kill());
    return { child, lines: createInterface(child.stdout)[Symbol.asyncIterator]() };
  }

  it('takes switches at its start and while it runs, and says what it is asked', async () => {
    const { child, lines } = startByHand('script=crlf');
    const first = String((await lines.next()).value);
    const url = first.replace('registration URL: ', '');
    expect(await (await fetch(url)).text()).toContain('\r\n');
    expect((await lines.next()).value).toMatch(/^GET \/v1\/scripts\/\S+ {2}\(script\)$/);
    child.stdin?.write('nonsense\n');
    expect((await lines.next()).value).toBe('no such switch: nonsense');
    child.stdin?.write('\n');
    await expect
      .poll(async () => (await fetch(url)).text(), { timeout: 5_000 })
      .toMatch(/^#!\/bin\/sh\n\nexport/);
  });

  it('refuses what it does not know, and its help has every switch and option', () => {
    const help = execFileSync('scripts/stub-server', ['--help'], { encoding: 'utf8' });
    expect(help).toContain(describeSwitches());
    for (const option of ['--listen', '--required-image', '--auth', '--bootstrap', '--token', '--tls']) {
      expect(help).toContain(option);
    }
    expect(() => execFileSync('scripts/stub-server', ['script=upside-down'], { stdio: 'pipe' })).toThrow(
      /expected script=ok/,
    );
  });
});
