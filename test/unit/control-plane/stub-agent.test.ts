import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { certificates } from '../../support/server/certificates.ts';
import {
  agentMarker,
  closedMarker,
  installEvent,
  openMarker,
  replacedMarker,
} from '../../support/server/stub/stub-agent.ts';
import { startStubServer, type StubOptions, type StubServer } from '../../support/server/stub/stub-server.ts';

/** What the bootstrap script downloads and becomes, run as the script runs it: by this machine's bash, curl and openssl. */
const keys = { accessKey: 'AGENTKEY', secretKey: 'agent-secret-key' };

/** The end of the script: download, installation, and the agent in its place. */
const download = `set -e
curl --retry 5 -s -u "$CATTLE_ACCESS_KEY:$CATTLE_SECRET_KEY" "$CATTLE_CONFIG_URL/configcontent/configscripts" > "$CATTLE_HOME/content"
tar xzf "$CATTLE_HOME/content" -C "$CATTLE_HOME" || { cat "$CATTLE_HOME/content" 1>&2; exit 1; }
bash "$CATTLE_HOME"/configscripts-*/config.sh --force configscripts pyagent
exec "$CATTLE_HOME/pyagent/apply.sh" start
`;

interface Run {
  readonly child: ChildProcess;
  readonly home: string;
  says(): string;
  /** Exit status. */
  readonly end: Promise<number | null>;
}

function runAgent(stub: StubServer, environment: Readonly<Record<string, string>> = {}): Run {
  const home = mkdtempSync(join(tmpdir(), 'stub-agent-'));
  const child = spawn('bash', ['-c', download], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      CATTLE_HOME: home,
      CATTLE_URL: `${stub.url}/v1`,
      CATTLE_CONFIG_URL: `${stub.url}/v1`,
      CATTLE_ACCESS_KEY: keys.accessKey,
      CATTLE_SECRET_KEY: keys.secretKey,
      ...environment,
    },
  });
  let originalMessage = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (originalMessage += String(chunk)));
  const end = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await end;
    rmSync(home, { recursive: true, force: true });
  });
  return { child, home, says: () => originalMessage, end };
}

async function start(options: StubOptions = {}): Promise<StubServer> {
  const stub = await startStubServer({
    agents: [keys],
    auth: 'on',
    bootstrapShape: 'rancher',
    agentRun: 'websocket',
    ...options,
  });
  onTestFinished(() => stub.close());
  return stub;
}

async function isOpen(stub: StubServer, run: Run): Promise<void> {
  await expect
    .poll(() => `${stub.connections.open().length} ${run.says()}`, { timeout: 20_000 })
    .toMatch(new RegExp(`^1 .*${openMarker}`, 's'));
}

describe('the stand-in for the agent', () => {
  const transports = [
    ['http', {}, {}],
    ['https', { tls: certificates.server }, { CURL_CA_BUNDLE: authorityFile() }],
  ] as const;

  it.each(transports)(
    'holds a websocket over %s until the server closes it, then exits with 0',
    async (_, options, environment) => {
      const stub = await start(options);
      const run = runAgent(stub, environment);
      await isOpen(stub, run);
      expect(run.says()).toContain(agentMarker);
      expect(stub.requestsTo('config-content').map(({ method }) => method)).toEqual([
        'GET',
        'GET',
        'PUT',
        'GET',
        'PUT',
      ]);
      expect(run.child.exitCode).toBeNull();
      stub.connections.close();
      expect(await run.end, run.says()).toBe(0);
      expect(run.says()).toContain(closedMarker);
      await expect.poll(() => stub.connections.open().length).toBe(0);
    },
    30_000,
  );

  it.each(transports)(
    'answers the pings of the server over %s, and is cut off by nobody',
    async (_, options, environment) => {
      const stub = await start(options);
      const run = runAgent(stub, environment);
      await isOpen(stub, run);
      await expect
        .poll(() => stub.connections.all[0]?.pongs ?? 0, { timeout: 15_000 })
        .toBeGreaterThanOrEqual(1);
      expect(run.child.exitCode).toBeNull();
      expect(run.says()).not.toMatch(/agent: line \d+:/);
    },
    40_000,
  );

  it('exits with 0 when the connection is lost, and with 1 when a newer agent was installed beside it', async () => {
    const stub = await start({ connectionMs: 300 });
    const first = runAgent(stub);
    expect(await first.end, first.says()).toBe(0);
    stub.behaviour.connectionMs = undefined;
    const second = runAgent(stub);
    await isOpen(stub, second);
    stub.connections.send({ name: installEvent });
    expect(await second.end).toBe(1);
    expect(second.says()).toContain(replacedMarker);
    expect(readFileSync(join(second.home, '.pyagent-stamp'), 'utf8')).toBe('');
  }, 30_000);

  it.each([
    ['refused keys', 'config-content:status=401', /"type":"error"/],
    ['a server that cannot take a websocket', 'subscribe:status=503', /refused: HTTP\/1.1 503/],
  ])(
    'ends with an error: %s',
    async (_, text, words) => {
      const { throwSwitch } = await import('../../support/server/stub/stub-switches.ts');
      const stub = await start();
      await throwSwitch(stub, text);
      const run = runAgent(stub);
      expect(await run.end).not.toBe(0);
      expect(run.says()).toMatch(words);
    },
    30_000,
  );

  it('downloads as slowly as the server sends', async () => {
    const stub = await start({ archiveMs: 1_000 });
    const run = runAgent(stub);
    const begun = performance.now();
    await isOpen(stub, run);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(2_700);
  }, 30_000);
});

/** The authority of the test certificates, as a file. */
function authorityFile(): string {
  const file = join(mkdtempSync(join(tmpdir(), 'stub-authority-')), 'ca.crt');
  writeFileSync(file, certificates.authority);
  return file;
}
