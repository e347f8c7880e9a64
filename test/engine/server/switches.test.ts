import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectNoSecrets, placesOf, secretsOf } from '../../support/scenes/canary.ts';
import { bootstrapMarker, upgradeMarker } from '../../support/server/stub/stub-bootstrap.ts';
import { throwSwitch } from '../../support/server/stub/stub-switches.ts';
import { startStubServer, type StubServer } from '../../support/server/stub/stub-server.ts';
import { images, limits, quick, startScene, type Scene } from '../../support/scenes/scene.ts';
import {
  registrationLimits,
  registrationRows,
  runRows,
  type RegistrationRow,
  type UrlForm,
} from '../../support/faults/switch-table.ts';
import { areRequestsOf, composeRequests } from '../../support/faults/switch-requests.ts';

/** One host that has an agent, and that is registered again and again at a server that is not well. */
let scene: Scene;
/** Another server, which must never be asked. */
let elsewhere: StubServer;
let hostKey: string;

beforeAll(async () => {
  scene = await startScene({ name: 'switches' });
  elsewhere = await startStubServer({ host: scene.host.gateway });
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  hostKey = (await readFile(join(scene.host.stateDir, 'state/.registration_token'), 'utf8')).trim();
});
beforeEach(async () => {
  await scene.server.heal();
  await scene.host.proxy.reset();
});
afterAll(async () => {
  await scene.close();
  await elsewhere.close();
});

describe('a registration, when the server does', () => {
  it.each(registrationRows.map((row) => [title(row), row] as const))('%s', async (_title, row) => {
    const { server, host } = scene;
    server.forget();
    if (row.isNew !== true) server.know(hostKey);
    const before = await host.inspect('rancher-agent');
    const asked = server.requests.length;
    for (const text of row.switches) await throwSwitch(server, fill(text));
    const result = await host.tryDocker(
      ...['run', '--rm', '--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
      ...quick,
      ...limits(registrationLimits),
      ...Object.entries(row.environment ?? {}).flatMap(([name, value]) => ['-e', `${name}=${fill(value)}`]),
      images.a,
      urlOf(row.url ?? 'token'),
    );

    const originalMessage = result.stdout + result.stderr;
    expect(result.status, originalMessage).toBe(row.exit);
    expect(originalMessage).toContain(row.says);
    const endpoints = server.requests.slice(asked).map(({ endpoint }) => endpoint);
    const requests = endpoints.filter((name) => !ofTheAgent.includes(name));
    expect(areRequestsOf(row, requests), `${composeRequests(requests)} instead of ${row.requests}`).toBe(
      true,
    );

    const status = await scene.readStatus();
    expect(status).toMatchObject({ state: row.exit === 0 ? 'ok' : 'failed', exitCode: row.exit });
    if (row.exit !== 0) {
      expect(JSON.stringify(status)).toContain(row.says);
      expect(status['hint'], 'what to do').toBeTruthy();
    }
    const after = await host.inspect('rancher-agent');
    expect(after?.Id === before?.Id, 'the agent was replaced').toBe(row.replaces !== true);
    expect(after).toMatchObject({ State: { Running: true }, RestartCount: 0 });
    if (row.replaces !== true) expect(after?.State.StartedAt).toBe(before?.State.StartedAt);
    expect((await scene.settled()).length).toBe(1);

    await expectNothingExecuted();
    expect(elsewhere.requests).toEqual([]);
    expectNoSecrets(await secretsOf(scene), {
      ...(await placesOf(scene)),
      'what the command said': originalMessage,
    });
  });
});

it('a damaged key of the host is never replaced: another one would register the host twice', async () => {
  const file = join(scene.host.stateDir, 'state/.registration_token');
  const before = await scene.host.inspect('rancher-agent');
  const registrations = scene.server.registrations.length;
  await writeFile(file, 'not a key at all\n');
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 78 });
  expect(await scene.readStatus()).toMatchObject({
    state: 'failed',
    exitCode: 78,
    summary: expect.stringContaining('.registration_token holds no host key') as string,
    hint: expect.stringContaining('restore it from a backup') as string,
  });
  expect(await readFile(file, 'utf8')).toBe('not a key at all\n');
  expect(scene.server.registrations).toHaveLength(registrations);
  expect(await scene.host.inspect('rancher-agent')).toMatchObject({
    Id: before?.Id,
    State: { Running: true },
  });

  await writeFile(file, `${hostKey}\n`);
  const restored = await scene.register(images.a);
  expect(restored, restored.stderr).toMatchObject({ status: 0 });
  expect(await scene.readStatus()).toMatchObject({ state: 'ok' });
  await scene.settled();
});

describe('an active agent, when the server does', () => {
  beforeAll(async () => {
    await scene.host.docker('rm', '-f', 'rancher-agent');
    await scene.host.docker('tag', images.a, 'mirror.example:5000/rancher/agent:alias');
    scene.server.forget();
    scene.server.know(hostKey);
    const [keys] = scene.server.agents;
    if (keys === undefined) throw new Error('the server knows no agent');
    await throwSwitch(scene.server, 'run=exits');
    await scene.startAgent(keys, ...limits(runLimits));
  });

  it.each(runRows.map((row) => [row.switches.join(' '), row] as const))('%s', async (_title, row) => {
    const { server, host } = scene;
    await throwSwitch(server, 'run=exits');
    await bootstrapRuns();
    const before = await host.inspect('rancher-agent');

    for (const text of row.switches) await throwSwitch(server, fill(text));
    // What is said first may still be about a turn that began before; of two ends of a turn, one whole turn lies
    // between.
    const begun = await agentSays(row.says, (await readAgent()).originalMessage.length);
    const asked = server.requests.length;
    const ended = await agentSays('; next in ', begun.originalMessage.length, 2);
    // A report of the state comes beside the turns, once for each error.
    const endpoints = server.requests
      .slice(asked)
      .map(({ endpoint }) => endpoint)
      .filter((name) => name !== 'external-events');
    expect([...new Set(endpoints)].sort()).toEqual(row.asks.split(', ').filter(Boolean).sort());
    if (row.mostWorkers === undefined)
      expect(ended.originalMessage.slice(begun.originalMessage.length)).toContain(row.says);
    const ran = ended.ran.slice(begun.ran.length);
    expect(ran.includes(bootstrapMarker), ended.originalMessage.slice(begun.originalMessage.length)).toBe(
      row.runs,
    );
    expect(ended.ran).not.toContain(upgradeMarker);
    await scene.waitFor(`state ${row.state ?? 'ok'}`, async () =>
      (await scene.readStatus())['state'] === (row.state ?? 'ok') ? true : undefined,
    );

    await server.heal();
    await throwSwitch(server, 'run=exits');
    await bootstrapRuns();
    const after = await host.inspect('rancher-agent');
    expect(after).toMatchObject({ Id: before?.Id, RestartCount: 0, State: { Running: true } });
    expect(after?.State.StartedAt).toBe(before?.State.StartedAt);
    expect(made().filter((name) => name !== 'rancher-agent-worker')).toEqual([]);
    expect(made().length).toBeLessThanOrEqual(row.mostWorkers ?? 0);

    await expectNothingExecuted();
    expect(elsewhere.requests).toEqual([]);
    expectNoSecrets(await secretsOf(scene), await placesOf(scene));
  });
});

/** Pauses so short that a turn of the agent takes a second at most. */
const runLimits = {
  BOOTSTRAP_PAUSE_MIN: 200,
  BOOTSTRAP_PAUSE_MAX: 200,
  BOOTSTRAP_SPREAD: 0,
  CREDENTIALS_APART: 100,
  CREDENTIALS_PAUSE: 200,
  HTTP_TOTAL: 800,
  HTTP_RETRY_PAUSE_MIN: 10,
  HTTP_RETRY_PAUSE_MAX: 50,
  PULL_SILENCE: 1_500,
};

/** What the agent says itself, and what its bootstrap script prints. */
interface AgentLog {
  readonly originalMessage: string;
  readonly ran: string;
}

async function readAgent(): Promise<AgentLog> {
  const { stdout, stderr } = await scene.host.tryDocker('logs', 'rancher-agent');
  return { originalMessage: stderr, ran: stdout };
}

/** Waits until the agent says something, so many times, behind a point in its log. */
async function agentSays(text: string, from: number, times = 1): Promise<AgentLog> {
  return scene.waitFor(`the agent says ${text}`, async () => {
    const log = await readAgent();
    return log.originalMessage.slice(from).split(text).length > times ? log : undefined;
  });
}

/** Waits until the bootstrap is run once more. */
async function bootstrapRuns(): Promise<void> {
  const { ran } = await readAgent();
  await scene.waitFor('another bootstrap', async () =>
    (await readAgent()).ran.length > ran.length ? true : undefined,
  );
}

/** Names of the containers that were made since the row began. */
function made(): readonly string[] {
  return scene.host.proxy.requests
    .filter(({ method, path }) => method === 'POST' && path.endsWith('/containers/create'))
    .map(({ query }) => query['name'] ?? 'a generated name');
}

/** What the active agent asks the server for on its own. */
const ofTheAgent: readonly string[] = ['configcontent-schema', 'bootstrap', 'external-events'];

function title({ switches, url, isNew, environment }: RegistrationRow): string {
  const parts = [switches.join(' ') || 'nothing wrong', url, isNew && 'host not known'];
  const own = Object.keys(environment ?? {}).filter((name) => !name.startsWith('AGENT_LIMIT_'));
  return [...parts, ...own].filter(Boolean).join(', ');
}

function fill(text: string): string {
  return text
    .replace('ELSEWHERE', elsewhere.url)
    .replace('HERE', scene.server.url)
    .replace('IMAGE', images.a);
}

function urlOf(form: UrlForm): string {
  const { url, token } = scene.server;
  const forms: Readonly<Record<UrlForm, string>> = {
    token: `${url}/v1/scripts/${token}`,
    environment: `${url}/v1/projects/1a5/scripts/${token}`,
    'v2-beta': `${url}/v2-beta/projects/1a5/scripts/${token}`,
    base: url,
    api: `${url}/v1`,
    schemas: `${url}/v1/schemas`,
    'environment schemas': `${url}/v1/projects/1a5/schemas`,
    'wrong token': `${url}/v1/scripts/D0D0D0D0:1451606400000:nobodys`,
  };
  return forms[form];
}

async function expectNothingExecuted(): Promise<void> {
  await expect(access(join(scene.host.stateDir, 'stub-injected'))).rejects.toThrow('ENOENT');
}
