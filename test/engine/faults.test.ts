import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RecordedRequest } from '../support/engine-proxy.ts';
import { images, limits, startScene, upgradeArguments, type Scene } from '../support/scene.ts';

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'faults' });
});
beforeEach(async () => {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  await scene.host.proxy.reset();
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

/** The worker's request that begins a phase of the upgrade. */
const phases: Readonly<Record<string, (request: RecordedRequest) => boolean>> = {
  'create next': ({ path, query }) =>
    path.endsWith('/containers/create') && query['name'] === 'rancher-agent-next',
  stop: ({ path }) => path.endsWith('/stop'),
  'set aside': ({ path, query }) => path.endsWith('/rename') && isSetAside(query),
  promote: ({ path, query }) => path.endsWith('/rename') && !isSetAside(query),
  discard: ({ method }) => method === 'DELETE',
};

function isSetAside(query: Readonly<Record<string, string>>): boolean {
  return query['name']?.startsWith('rancher-agent-previous') === true;
}

function ofWorker(match: (request: RecordedRequest) => boolean) {
  return (request: RecordedRequest): boolean => request.userAgent.includes('(worker)') && match(request);
}

/** Runs `fault` right before the worker's request that begins a phase. */
function atPhase(phase: string, fault: () => Promise<void>): void {
  const match = phases[phase];
  if (match === undefined) throw new Error(`no phase ${phase}`);
  scene.host.proxy.addRule({
    match: ofWorker(match),
    times: 1,
    action: { kind: 'call', when: 'before', run: fault },
  });
}

async function expectNewAgentOnly(): Promise<void> {
  await scene.host.tryDocker('rm', '-f', 'rancher-agent-upgrade');
  const [agent] = await scene.settled();
  expect(agent).toMatchObject({ state: 'running', image: images.b });
  const environment = (await scene.host.inspect('rancher-agent'))?.Config.Env ?? [];
  expect(environment.some((entry) => entry.startsWith('CATTLE_SECRET_KEY='))).toBe(true);
}

async function someAgentRuns(): Promise<true | undefined> {
  const agents = (await scene.host.containers()).filter(
    ({ name, state }) => /^rancher-agent(-next|-previous)?$/.test(name) && state === 'running',
  );
  return agents.length > 0 ? true : undefined;
}

describe.each(Object.keys(phases))('at "%s" of an upgrade', (phase) => {
  it('a worker that is killed is replaced by its caller, which goes on', async () => {
    atPhase(phase, async () => {
      await scene.host.docker('kill', '-s', 'KILL', 'rancher-agent-worker');
    });
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await expectNewAgentOnly();
  });

  it('worker and caller killed together leave a host that mends itself', async () => {
    atPhase(phase, async () => {
      await scene.host.docker('kill', '-s', 'KILL', 'rancher-agent-upgrade');
      await scene.host.docker('kill', '-s', 'KILL', 'rancher-agent-worker');
    });
    await scene.upgrade(images.b);
    await scene.waitFor('an agent that runs', someAgentRuns, 20);
    await scene.host.tryDocker('rm', 'rancher-agent-upgrade');
    // The new one standing by, or in office, has it settled, and nobody needs to ask. The old one doesn't know of a next
    // one that was created in the very last moment: its own next start, or its housekeeping, settles that.
    if (phase === 'create next') await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    const [agent] = await scene.settled();
    expect(agent).toMatchObject({ name: 'rancher-agent', state: 'running' });
    await scene.waitFor('a state that is no work in progress', async () =>
      (await scene.readStatus())['state'] === 'working' ? undefined : true,
    );
  });

  it('a daemon that is killed and started again comes back with an agent, and the next upgrade converges', async () => {
    atPhase(phase, async () => {
      await scene.host.killEngine();
    });
    const interrupted = scene.upgrade(images.b);
    await scene.waitFor('the kill', async () => {
      const answers = await scene.host.tryDocker('version');
      return answers.status === 0 ? undefined : true;
    });
    await scene.host.startEngine();
    await interrupted;
    await scene.waitFor('an agent that runs', someAgentRuns, 30);
    await scene.host.tryDocker('rm', '-f', 'rancher-agent-upgrade');
    const again = await scene.upgrade(images.b);
    expect(again, again.stderr).toMatchObject({ status: 0 });
    await expectNewAgentOnly();
  });

  it('a daemon that is frozen for a while is waited for', async () => {
    atPhase(phase, async () => {
      await scene.host.freezeEngine();
      setTimeout(() => void scene.host.thawEngine(), 12_000);
    });
    const result = await scene.upgrade(images.b, ...limits({ INSPECT: 5_000, LIST: 5_000 }));
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await expectNewAgentOnly();
  });

  it('a single lost answer or 500 is survived', async () => {
    for (const action of [{ kind: 'lose-answer' }, { kind: 'answer', status: 500, body: 'boom' }] as const) {
      scene.host.proxy.addRule({ match: ofWorker(phases[phase] ?? (() => false)), times: 1, action });
    }
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await expectNewAgentOnly();
  });
});

describe('a power cut', () => {
  it.each(['stop', 'set aside', 'promote', 'discard'])(
    'at "%s" ends with one agent after the boot',
    async (phase) => {
      let cut: Promise<void> | undefined;
      atPhase(phase, async () => {
        cut = scene.host.reboot();
        await sleep(100);
      });
      await scene.upgrade(images.b);
      await cut;
      await scene.host.tryDocker('rm', '-f', 'rancher-agent-upgrade');
      const agent = await scene.waitFor(
        'one agent and nothing else',
        async () => {
          const containers = await scene.host.containers();
          return containers.length === 1 && containers[0]?.state === 'running' ? containers[0] : undefined;
        },
        90,
      );
      expect(agent).toMatchObject({ name: 'rancher-agent' });
    },
  );
});

describe('an engine that does not answer at all', () => {
  it('ends the upgrade within bounds, with a clear word, and the next start converges', async () => {
    await scene.host.freezeEngine();
    const frozen = scene.host.tryProxiedDocker('version');
    setTimeout(() => void scene.host.thawEngine(), 20_000);
    await frozen;
    scene.host.proxy.addRule({
      match: (request) => request.userAgent.includes('(upgrade)'),
      action: { kind: 'hang' },
    });
    const [first = 'run', ...rest] = upgradeArguments(images.b, ...limits({ ENGINE_CONNECT: 1_000 }));
    const result = await scene.host.tryDocker(first, ...rest);
    expect(result, result.stderr).toMatchObject({ status: 69 });
    expect(result.stderr).toMatch(/ERROR: .*no answer within 1 s/);
    scene.host.proxy.clearRules();
    await scene.host.docker('rm', 'rancher-agent-upgrade');
    expect(await scene.upgrade(images.b)).toMatchObject({ status: 0 });
    await expectNewAgentOnly();
  });
});
