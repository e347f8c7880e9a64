import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { agentMarker } from '../../support/server/stub/stub-agent.ts';
import { bootstrapMarker, endMarker, upgradeMarker } from '../../support/server/stub/stub-bootstrap.ts';
import { watchEngine, type EngineEvents } from '../../support/engine-proxy/engine-events.ts';
import { toldApi } from '../../support/host/engine-root.ts';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';

/** Of an agent that the server knows from the start. */
const keys = { accessKey: 'TESTACCESSKEY0000001', secretKey: 'testsecretkey000000000000000000000000001' };
/** Nothing listens there: the pull fails at once. */
const unpullable = '127.0.0.1:1/rancher/agent:v9';

let scene: Scene;
let events: EngineEvents | undefined;

beforeAll(async () => {
  scene = await startScene({ name: 'bootstrap', stub: { agents: [keys] } });
});
afterEach(async () => {
  events?.end();
  events = undefined;
  Object.assign(scene.server.behaviour, {
    bootstrapShape: 'short',
    bootstrapRun: 'runs-long',
    upgradeStyle: 'timeout',
  });
  await scene.reset();
});
afterAll(async () => scene.close());

/** An agent as the registration makes it, by hand, with settings of the test's own. */
async function startAgent(name: string, image: string, ...options: readonly string[]): Promise<void> {
  await scene.host.docker(
    ...['run', '-d', '--name', name, '--restart', 'always', '--privileged', '--net', 'host'],
    ...['-v', '/var/run/docker.sock:/var/run/docker.sock', '-v', '/var/lib/rancher:/var/lib/rancher'],
    ...['-e', `CATTLE_URL=${scene.server.url}/v1`],
    ...['-e', `CATTLE_ACCESS_KEY=${keys.accessKey}`, '-e', `CATTLE_SECRET_KEY=${keys.secretKey}`],
    ...limits({
      BOOTSTRAP_PAUSE_MIN: 400,
      BOOTSTRAP_PAUSE_MAX: 3_200,
      ATTEMPT_PAUSE_MIN: 1_000,
      VERIFY: 2_000,
    }),
    ...options,
    image,
    'run',
  );
}

const hostPids = ['--pid', 'host'];

async function logSays(container: string, text: string, times = 1): Promise<string> {
  return scene.waitFor(`the log of ${container} says ${text}`, async () => {
    const { stdout, stderr } = await scene.host.tryDocker('logs', container);
    const log = stdout + stderr;
    return log.split(text).length > times ? log : undefined;
  });
}

/** The upgrade that is required was tried, and has ended. */
async function failed(): Promise<void> {
  await scene.waitFor('state failed', async () =>
    (await scene.readStatusText()).includes('"state": "failed"') ? true : undefined,
  );
}

describe.each([
  ["Rancher's of today", 'rancher', 'timeout', 'rancher-agent', images.a],
  ["Rancher's of the incident", 'rancher', 'detached', 'rancher-agent', images.a],
  ["PastureStack's", 'pasturestack', 'timeout', 'pasturestack-node-agent', images.pastureA],
] as const)(
  "the server's script, %s, when another image is required",
  (_title, shape, style, agent, image) => {
    it('runs to its end and makes or removes no upgrade container; left to itself it does both', async () => {
      Object.assign(scene.server.behaviour, { bootstrapShape: shape, upgradeStyle: style });
      scene.server.setRequiredImage(unpullable);
      const upgrade = `${agent}-upgrade`;
      // A stranger's, which the script would remove all the same.
      await scene.host.docker('run', '-d', '--name', upgrade, images.base, 'sleep', 'infinity');
      const bystander = (await scene.host.inspect(upgrade))?.Id;
      events = await watchEngine(scene);

      await startAgent(agent, image, ...hostPids);
      const log = await logSays(agent, agentMarker);
      expect(log).toContain(bootstrapMarker);
      expect(log).toMatch(/STUB-AGENT: started with start, below \d+/);
      await failed();
      await scene.host.docker('restart', '-t', '5', agent);
      expect(await logSays(agent, agentMarker, 2)).not.toContain(upgradeMarker);
      await scene.only(agent, upgrade);
      expect(events.seen.filter((event) => event.endsWith(upgrade))).toEqual([]);
      const created = new Set(events.seen.filter((event) => event.startsWith('create ')));
      expect(created).toEqual(new Set(['create witness', `create ${agent}`, `create ${agent}-worker`]));
      expect((await scene.host.inspect(upgrade))?.Id).toBe(bystander);

      // The same text without us: this is what does not happen.
      const script = `curl -s "$CATTLE_URL/scripts/bootstrap" > /tmp/alone.sh; timeout 60 bash /tmp/alone.sh`;
      const alone = await scene.host.tryDocker('exec', ...toldApi(), agent, 'bash', '-c', script);
      expect(alone.stdout).toContain(upgradeMarker);
      await scene.waitFor('the end of the bystander', async () =>
        (await scene.host.inspect(upgrade)) === undefined ? true : undefined,
      );
      expect(events.seen).toContain(`destroy ${upgrade}`);
    });
  },
);

it("PastureStack's script leaves agents of Rancher's own image alone, and so does an agent that decides itself", async () => {
  scene.server.behaviour.bootstrapShape = 'pasturestack';
  scene.server.setRequiredImage(images.pastureB);
  events = await watchEngine(scene);
  await startAgent('rancher-agent', images.a, ...hostPids);
  await logSays('rancher-agent', agentMarker);
  await scene.host.docker('restart', '-t', '5', 'rancher-agent');
  await logSays('rancher-agent', agentMarker, 2);
  await scene.only('rancher-agent');
  expect(events.seen.filter((event) => event.startsWith('create '))).toEqual([
    ...events.seen.filter((event) => event === 'create witness'),
    'create rancher-agent',
  ]);
});

describe('CATTLE_EXEC_AGENT', () => {
  const exec = ['-e', 'CATTLE_EXEC_AGENT=true', ...hostPids];

  async function commandOfMainProcess(): Promise<string> {
    const pid = (await scene.host.inspect('rancher-agent'))?.State.Pid ?? 0;
    return scene.host.docker('exec', 'rancher-agent', 'bash', '-c', `tr '\\0' ' ' </proc/${pid}/cmdline`);
  }

  it('lets the script take the place of this process, which then gets the signals itself', async () => {
    scene.server.behaviour.bootstrapShape = 'rancher';
    await startAgent('rancher-agent', images.a, ...exec);
    await logSays('rancher-agent', agentMarker);
    expect(await commandOfMainProcess()).toBe('sleep 86400');
    const pid = (await scene.host.inspect('rancher-agent'))?.State.Pid ?? 0;
    const status = await readFile(scene.host.pathInHost(`/proc/${pid}/status`), 'utf8');
    // Neither ignored nor blocked: `yes | head -1` in the script must end.
    expect(status).toMatch(/^SigBlk:\t0+$/m);
    expect(status).toMatch(/^SigIgn:\t0+$/m);
    const begun = Date.now();
    await scene.host.docker('stop', 'rancher-agent');
    expect(Date.now() - begun).toBeLessThan(5_000);
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ State: { ExitCode: 143 } });
  });

  it('has an upgrade that is required made before: nobody would be left to do it', async () => {
    scene.server.setRequiredImage(images.b);
    await startAgent('rancher-agent', images.a, ...exec);
    await scene.waitFor('the new agent', async () =>
      (await scene.host.inspect('rancher-agent'))?.Config.Image === images.b ? true : undefined,
    );
    const [agent] = await scene.settled();
    expect(agent?.state).toBe('running');
  });
});

it('opens no debugger for SIGUSR1, which somebody sends to rotate a log', async () => {
  scene.server.behaviour.bootstrapRun = 'waits';
  await startAgent('rancher-agent', images.a, ...hostPids);
  await logSays('rancher-agent', bootstrapMarker);
  const before = await scene.host.inspect('rancher-agent');
  await scene.host.docker('kill', '-s', 'USR1', 'rancher-agent');
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const { stdout, stderr } = await scene.host.tryDocker('logs', 'rancher-agent');
  expect(stdout + stderr).not.toContain('Debugger');
  const after = await scene.host.inspect('rancher-agent');
  expect(after?.State).toMatchObject({ Running: true, Pid: before?.State.Pid });
});

describe('the bootstrap as a child', () => {
  it('gets the signal even while it waits for a command of its own', async () => {
    scene.server.behaviour.bootstrapRun = 'waits';
    await startAgent('rancher-agent', images.a, ...hostPids);
    await logSays('rancher-agent', bootstrapMarker);
    const begun = Date.now();
    await scene.host.docker('stop', 'rancher-agent');
    expect(Date.now() - begun).toBeLessThan(4_000);
    await logSays('rancher-agent', endMarker);
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ State: { ExitCode: 1 } });
  });

  it.each([
    ["in the host's pid namespace, as agents are made", hostPids],
    ['in one of its own, where it is process 1', []],
  ])('leaves no zombies of what it started, %s', async (_title, options) => {
    scene.server.behaviour.bootstrapRun = 'orphans';
    await startAgent('rancher-agent', images.a, ...options);
    await logSays('rancher-agent', bootstrapMarker);
    const processes = async (command: string): Promise<string> =>
      scene.host.docker('exec', 'rancher-agent', 'bash', '-c', command);
    await scene.waitFor('the end of the orphans', async () =>
      (await processes('pgrep -c -x -f "sleep 1" || true')) === '0' ? true : undefined,
    );
    // The engine has short-lived processes of its own on this host.
    expect(await processes("ps -eo stat=,ppid=,comm= | grep '^Z.* sleep' || true")).toBe('');
    const begun = Date.now();
    await scene.host.docker('stop', 'rancher-agent');
    expect(Date.now() - begun).toBeLessThan(8_000);
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ State: { ExitCode: 1 } });
  });
});

describe('a state that needs a person', () => {
  it("is told to the server once, as a harmless event of the host, unless the host's agent.conf says no", async () => {
    const conf = join(scene.host.stateDir, 'etc/agent.conf');
    await mkdir(join(scene.host.stateDir, 'etc'), { recursive: true });
    await mkdir(join(scene.host.stateDir, 'state'), { recursive: true });
    await writeFile(join(scene.host.stateDir, 'state/.docker_uuid'), '5d2f1c1e-77aa-4a6b-9d0e-0f5c3a2b1d00');
    await writeFile(conf, 'export AGENT_REPORT_ERRORS=false\n');
    const before = scene.server.requestsTo('external-events').length;
    const told = scene.server.events.length;
    const reported = (): readonly { externalId: string; eventType: string }[] =>
      scene.server.events.slice(told) as { externalId: string; eventType: string }[];
    scene.server.setRequiredImage(unpullable);
    await startAgent('rancher-agent', images.a, ...hostPids, ...limits({ EVENT_POLL: 200 }));
    await failed();
    await logSays('rancher-agent', bootstrapMarker);
    expect(scene.server.requestsTo('external-events')).toHaveLength(before);

    await rm(conf);
    await scene.host.docker('restart', '-t', '5', 'rancher-agent');
    await scene.waitFor('the report', () => Promise.resolve(reported().length > 0 ? true : undefined));
    await scene.host.docker('restart', '-t', '5', 'rancher-agent');
    await logSays('rancher-agent', bootstrapMarker, 3);
    const [event] = reported();
    expect(event?.externalId).toBe('5d2f1c1e-77aa-4a6b-9d0e-0f5c3a2b1d00');
    expect(event?.eventType).toMatch(/^agent\.error: failed: .*127\.0\.0\.1:1\/rancher\/agent:v9.*pulled/);
    expect(event?.eventType.length).toBeLessThanOrEqual(255);
    expect(event?.eventType).not.toContain(keys.secretKey);
    expect(reported()).toHaveLength(1);
    const kept = await readFile(join(scene.host.stateDir, 'entrypoint/reported.json'), 'utf8');
    expect(kept).toContain('cannot be pulled');
  });
});
