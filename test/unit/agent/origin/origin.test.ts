import { execFileSync } from 'node:child_process';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { judgeKeys, requireKeptServer } from '../../../../src/agent/origin/of-holder.ts';
import { concludeServer, noteRegistration } from '../../../../src/agent/origin/origin.ts';
import { findOtherServer } from '../../../../src/agent/origin/of-run.ts';
import { OtherServerError } from '../../../../src/agent/origin/rule.ts';
import { labels } from '../../../../src/agent/identity/roles.ts';
import { findKeyHolder } from '../../../../src/agent/transaction/observe.ts';
import type { Work } from '../../../../src/agent/worker/session.ts';
import { keptServerFileOf, type KeptServer } from '../../../../src/host/files/kept-server.ts';
import { CannotChangeError, ConfigurationError } from '../../../../src/support/errors.ts';
import { rejectionOf } from '../../../support/server/test-connection.ts';
import { environmentFor, WorkerScene } from '../../fakes/worker-scene.ts';

const [a, b] = ['https://a.example', 'https://b.example'] as const;
const at = (origin: string) => ({ environment: environmentFor(`${origin}/v1`) });

let scene: WorkerScene;
beforeEach(async () => {
  scene = await WorkerScene.create({ limits: { KEPT_SERVER: 300, TRUST_PATIENCE: 300 } });
});
afterEach(async () => scene.remove());

const file = (): string => keptServerFileOf(scene.work.paths);

async function place(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

async function keep(origin: string, parts: Partial<KeptServer> = {}): Promise<void> {
  const since = '2026-01-01T00:00:00.000Z';
  await place(file(), JSON.stringify({ version: 1, origin, since, by: 'registration', ...parts }));
}

async function kept(): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(file(), 'utf8')) as Record<string, unknown>;
}

async function setConf(url: string): Promise<void> {
  await place(`${scene.work.paths.rancher}/etc/agent.conf`, `export CATTLE_URL=${url}\n`);
}

function workWith(environment: Readonly<Record<string, string>>): Work {
  return { ...scene.work, configuration: { ...scene.work.configuration, environment } };
}

/** As an upgrade does it. */
async function takeKeys(work: Work = scene.work): Promise<void> {
  const observation = await scene.observe();
  const holder = findKeyHolder(observation);
  if (holder === undefined) throw new Error('nobody holds keys in this scene');
  await requireKeptServer(work, observation, holder);
}

describe('a host that was registered before the server was kept', () => {
  it.each([
    ['the active agent', ['rancher-agent-next', 'rancher-agent-previous', 'rancher-agent'], 2],
    ['else a parked one', ['rancher-agent-next', 'rancher-agent-previous'], 1],
    ['else the next one', ['rancher-agent-next'], 0],
  ])('learns it from %s, keeps it for root alone, and logs it', async (_title, names, who) => {
    for (const [index, name] of names.entries())
      scene.add(name, at(index === who ? a : 'https://other.example'));
    await takeKeys();
    expect(await kept()).toMatchObject({ version: 1, origin: a, by: 'agent' });
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect(scene.lines.join('')).toContain(`the keys of this host belong to ${a} from now on`);
  });

  it('learns nothing from a container that is not managed', async () => {
    scene.add('rancher-agent-previous', { ...at(b), labels: {}, image: 'alpine:3' });
    await judgeKeys(scene.work, await scene.observe(), { mayReplace: false });
    await expect(readFile(file())).rejects.toThrow('ENOENT');
  });
});

describe('an upgrade', () => {
  it('refuses the keys of another server, and says what to type', async () => {
    await keep(a);
    scene.add('rancher-agent', at(b));
    const error = await rejectionOf(takeKeys());
    expect(error).toBeInstanceOf(OtherServerError);
    expect(error).toMatchObject({ code: 'other-server', exitCode: 78 });
    expect(error.message).toBe(
      `the keys of rancher-agent are for ${b}, and this host belongs to ${a} (a registration says so): they are not used`,
    );
    expect(error).toMatchObject({ hint: expect.stringContaining(`upgrade --server ${b}`) as string });
    expect(await kept()).toMatchObject({ origin: a });
  });

  it('takes them with --server, a person’s word, and warns', async () => {
    await keep(a);
    scene.add('rancher-agent', at(b));
    await takeKeys(workWith({ AGENT_SERVER: b }));
    expect(await kept()).toMatchObject({ origin: b, by: '--server' });
    expect(scene.lines.join('')).toContain(
      `belonged to ${a} and now belong to ${b}: upgrade --server says so`,
    );
  });

  it('believes no --server that the keys are not for: a mistyped URL takes no agent off its server', async () => {
    await keep(a);
    scene.add('rancher-agent', at(a));
    expect(await rejectionOf(takeKeys(workWith({ AGENT_SERVER: b })))).toBeInstanceOf(OtherServerError);
    expect(await kept()).toMatchObject({ origin: a });
  });

  it('follows CATTLE_URL in agent.conf, for every agent, until a person removes that line', async () => {
    await keep(a);
    await setConf(`${b}/v1`);
    scene.add('rancher-agent', at(a));
    await takeKeys();
    expect(await kept()).toMatchObject({ origin: b, by: 'agent.conf', before: a });
    expect(scene.lines.join('')).toContain('CATTLE_URL in agent.conf says so');
    await place(`${scene.work.paths.rancher}/etc/agent.conf`, '');
    await takeKeys();
  });

  it.each([
    ['not JSON', 'secret of somebody'],
    ['of another form', '{"version":1,"origin":"file:///etc"}'],
    [
      'with a path in its origin',
      `{"version":1,"origin":"${a}/v1","since":"2026-01-01T00:00:00Z","by":"agent"}`,
    ],
  ])(
    'goes on where the file is %s: it is written again, and nothing of it is shown',
    async (_title, text) => {
      await place(file(), text);
      scene.add('rancher-agent', at(a));
      await takeKeys();
      expect(await kept()).toMatchObject({ origin: a, by: 'agent' });
      expect(scene.lines.join('')).toContain('is damaged');
      expect(scene.lines.join('')).not.toContain('somebody');
    },
  );

  it.each([
    ['a link', async () => symlink('/etc/shadow', file())],
    ['a pipe', async () => Promise.resolve(execFileSync('mkfifo', [file()]))],
    ['a folder', async () => mkdir(file())],
  ])('uses the active agent’s own keys, and no others, where the file is %s', async (kind, make) => {
    await mkdir(dirname(file()), { recursive: true });
    await make();
    const agent = scene.add('rancher-agent', at(a));
    const begun = Date.now();
    await takeKeys();
    scene.containers.delete(agent.id);
    scene.add('rancher-agent-previous', at(a));
    // A pipe without a writer reads as empty: nothing is kept.
    if (kind !== 'a pipe') expect(await rejectionOf(takeKeys())).toBeInstanceOf(CannotChangeError);
    expect(Date.now() - begun).toBeLessThan(2_000);
  });

  it('sends nothing by plain http with AGENT_REQUIRE_HTTPS, of the host or of the agent', async () => {
    const environment = environmentFor('http://a.example/v1');
    const agent = scene.add('rancher-agent', { environment });
    await takeKeys();
    const error = await rejectionOf(takeKeys(workWith({ AGENT_REQUIRE_HTTPS: 'true' })));
    expect(error).toBeInstanceOf(ConfigurationError);
    scene.change(agent.id, { environment: { ...environment, AGENT_REQUIRE_HTTPS: '1' } });
    expect((await rejectionOf(takeKeys())).message).toContain('AGENT_REQUIRE_HTTPS is set');
  });
});

describe('a transaction', () => {
  it('refuses what belongs to another server, but to replace an active agent is the caller’s to judge', async () => {
    await keep(a);
    scene.add('rancher-agent', at(b));
    scene.add('rancher-agent-previous', at(b));
    scene.add('rancher-agent-next', at(a));
    const observation = await scene.observe();
    expect(await rejectionOf(judgeKeys(scene.work, observation, { mayReplace: false }))).toBeInstanceOf(
      OtherServerError,
    );
    const isRefused = await judgeKeys(scene.work, observation, { mayReplace: true });
    expect([observation.previous[0], observation.next].map((each) => each && isRefused(each))).toEqual([
      true,
      false,
    ]);
  });
});

describe('a registration', () => {
  it('is a person’s word: it changes the server with a warning, and both count until it is over', async () => {
    await keep(a);
    const environments = [environmentFor(`${a}/v1`)];
    await noteRegistration(scene.work, `${b}/v1`, environments);
    expect(await kept()).toMatchObject({ origin: b, by: 'registration', before: a });
    expect(scene.lines.join('')).toContain(`belonged to ${a} and now belong to ${b}: a registration says so`);
    // Rolled back.
    await concludeServer(scene.work, environmentFor(`${a}/v1`));
    expect(await kept()).not.toHaveProperty('before');
    expect(await kept()).toMatchObject({ origin: a });
    await noteRegistration(scene.work, `${b}/v1`, environments);
    await concludeServer(scene.work, environmentFor(`${b}/v1`));
    expect(await kept()).toEqual({
      version: 1,
      origin: b,
      since: expect.any(String) as string,
      by: 'registration',
    });
  });

  it('says that agent.conf sends the new keys elsewhere', async () => {
    await setConf(`${a}/v1`);
    await noteRegistration(scene.work, `${b}/v1`, []);
    expect(scene.lines.join('')).toContain(`agent.conf sets CATTLE_URL to ${a}`);
  });

  it('goes on where nothing can be kept', async () => {
    await place(scene.work.paths.rancher, 'a file in the place of the folder');
    await noteRegistration(scene.work, `${b}/v1`, []);
    await concludeServer(scene.work, environmentFor(`${b}/v1`));
    expect(scene.lines.join('')).toContain('cannot keep on this host to which server its keys belong');
  });
});

describe('the active agent, before each bootstrap', () => {
  const byWorker = { labels: { [labels.spec]: 'digest' } };
  const ask = async (origin: string, parts: { labels?: Record<string, string> } = byWorker) => {
    const own = scene.add('rancher-agent', { ...at(origin), ...parts });
    return findOtherServer({ ...scene.work, own }, `${origin}/v1`);
  };

  it('goes on at the kept server, and keeps it where nothing was kept', async () => {
    expect(await ask(a)).toBeUndefined();
    expect(await kept()).toMatchObject({ origin: a, by: 'agent' });
    expect(await ask(a)).toBeUndefined();
  });

  it('does not at another one, until a person says so', async () => {
    await keep(a);
    expect(await ask(b)).toBeInstanceOf(OtherServerError);
    await keep(b, { by: '--server' });
    expect(await ask(b)).toBeUndefined();
  });

  it('follows agent.conf as it was at its start: an edit counts after a restart', async () => {
    await keep(a);
    await setConf(`${b}/v1`);
    expect(await ask(a)).toBeUndefined();
    const own = scene.add('rancher-agent', { ...at(a), ...byWorker });
    expect(await findOtherServer({ ...scene.work, own }, `${b}/v1`)).toBeUndefined();
    expect(await kept()).toMatchObject({ origin: b, by: 'agent.conf', before: a });
    // Another agent, from before the restart, still counts.
    expect(await ask(a)).toBeUndefined();
  });

  it('that a person has started with -e keys follows those', async () => {
    await keep(a);
    expect(await ask(b, { labels: {} })).toBeUndefined();
    expect(await kept()).toMatchObject({ origin: b, by: 'environment' });
  });

  it('is never stopped by a file that cannot be read', async () => {
    await mkdir(file(), { recursive: true });
    expect(await ask(b)).toBeUndefined();
    expect(scene.lines.join('')).toContain('cannot read to which server the keys of this host belong');
  });
});
