/**
 * The stages of the demo, on a host of their own. `demo.ts` starts and stops this process; SIGTERM or the exit of that one
 * stops it, and with it the host.
 *
 * exit status: 0 all stages had the expected result, 1 one did not
 */
import { enterHost } from '../../test/support/host/host-namespaces.ts';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { images, limits, startScene, type Scene } from '../../test/support/scenes/scene.ts';
import { Account, secondsSince, Unexpected } from './demo-account.ts';

/** Two pauses that nobody wants to watch: how long a new agent is watched, and how often a removal is tried. */
const shorter = limits({ VERIFY: 2_000, REMOVE_TRIES: 2 });
const socket = ['-v', '/var/run/docker.sock:/var/run/docker.sock'];
const agentName = 'rancher-agent';
const upgradeName = 'rancher-agent-upgrade';
/** An agent standing by looks for a worker after 5 s and has itself watched for 10 s. */
/** Of these the worker watches a new bootstrap for 60 s before the parked agent goes. */
const SETTLE_SECONDS = 150;
/** Between the end of a killed upgrade and that of the command that killed it. */
const KILL_GRACE_MS = 10_000;

const stopped = new AbortController();
const stop = (): void => stopped.abort();
for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.on(event, stop);
// The reader of this has gone: the signal above stops the stages.
process.stdout.on('error', () => undefined);

process.exitCode = await main(process.argv.includes('--keep'));
// The channel to the outer process would keep this one alive.
if (process.connected) process.disconnect();

async function main(keep: boolean): Promise<number> {
  const begun = Date.now();
  console.log(
    `A private engine with the agent's images (the first time they are built, which takes minutes) …`,
  );
  const scene = await startScene({ name: 'demo' }).catch(tellUnlessStopped);
  if (scene === undefined) return 1;
  try {
    const status = await Promise.race([playAll(scene, begun), untilStopped()]);
    if (status === undefined || !keep) return status ?? 1;
    tellHowToReach(scene);
    process.off('disconnect', stop);
    process.send?.(status);
    await untilStopped();
    return status;
  } finally {
    await scene.close();
  }
}

async function playAll(scene: Scene, begun: number): Promise<number> {
  const account = new Account(scene);
  account.say(`is up after ${secondsSince(begun)}; every docker command below is typed with`);
  account.say(`export DOCKER_HOST=unix://${scene.host.engineSocketPath}`);
  account.say(`-e AGENT_LIMIT_… shortens pauses for the demo; without them a new agent is watched for 10 s.`);
  try {
    await register(scene, account);
    await upgrade(scene, account);
    await killUpgrade(scene, account);
    await refuseBrokenImage(scene, account);
    const id = await leaveUnremovable(scene, account);
    await clearAway(scene, account, id);
    account.summarise();
    account.say(`${'all, with the start of the engine'.padEnd(52)} ${secondsSince(begun).padStart(7)}`);
    return 0;
  } catch (error) {
    if (stopped.signal.aborted) return 1;
    await account.explainFailure(error);
    if (!(error instanceof Unexpected)) console.log(error);
    return 1;
  }
}

async function register({ host, server }: Scene, account: Account): Promise<void> {
  account.begin(
    '1. A host registers',
    'As the server tells people to type it. The container started here only has a worker do it and follows that one.',
  );
  const run = await account.docker(
    ...['run', '-d', '--privileged', ...socket, ...shorter, images.a, server.registrationUrl],
  );
  const id = run.stdout.trim().slice(0, 12);
  const { stdout } = await account.docker('wait', id);
  account.quote((await host.tryDocker('logs', id)).stderr);
  account.expect(stdout.trim() === '0', `status 0 of the registration, not ${stdout.trim()}`);
  account.expect(server.registrations.length === 1, 'one registration at the server');
  account.type('docker', 'exec', agentName, '/run.sh', 'status');
  account.quote(await host.docker('exec', agentName, '/run.sh', 'status'));
  await account.docker('rm', id);
  await account.expectState('ok');
  await account.expectAgent(images.a);
  await account.end();
}

async function upgrade(scene: Scene, account: Account): Promise<void> {
  account.begin(
    '2. The server requires another image',
    "As the server's script types it: the name is free by then, and only the socket is mounted.",
  );
  const { status, stderr } = await runUpgrade(scene, account, images.b);
  account.quote(stderr);
  account.showGap();
  account.expect(status === 0, 'exit status 0');
  await account.expectState('ok');
  await account.expectAgent(images.b);
  await account.end();
}

async function killUpgrade(scene: Scene, account: Account): Promise<void> {
  const { host } = scene;
  account.begin(
    '3. An upgrade is killed half-way',
    'The worker and its caller get SIGKILL once the old agent is stopped and parked, and before the new one is promoted.',
  );
  const killed = killAtRename(scene);
  const upgrading = runUpgrade(scene, account, images.a);
  await Promise.race([killed, failIfOver(upgrading)]);
  const begun = Date.now();
  account.type('docker', 'kill', '--signal', 'KILL', upgradeName, `${agentName}-worker`);
  await upgrading;
  await account.showHost();
  account.say(
    'Nobody does anything now. The agent on standby notices that it is alone and has a worker go on: the new',
  );
  account.say(
    'agent proves once more that it can serve, is promoted, and its bootstrap is watched for a minute.',
  );
  await account.watch(`one agent, created from ${images.a}, state ok`, SETTLE_SECONDS, async () =>
    hasConverged(scene, images.a),
  );
  account.say(`converged ${secondsSince(begun)} after the kill`);
  account.quote(await host.docker('exec', agentName, '/run.sh', 'status'));
  await account.end();
}

async function refuseBrokenImage(scene: Scene, account: Account): Promise<void> {
  account.begin(
    '4. An image whose agent does not run',
    'Its `run` exits at once. The new agent is tried before the old one is touched, so nothing happens to the old one.',
  );
  const before = await scene.host.inspect(agentName);
  const { status, stderr } = await runUpgrade(scene, account, images.broken);
  account.quote(stderr);
  account.expect(status === 73, 'exit status 73');
  await account.expectState('failed');
  await account.expectAgent(images.a);
  const after = await scene.host.inspect(agentName);
  account.expect(after?.State.StartedAt === before?.State.StartedAt, 'the old agent was never stopped');
  account.say(`${agentName} has been running since ${after?.State.StartedAt ?? '-'}, before this upgrade`);
  await account.end();
}

async function leaveUnremovable(scene: Scene, account: Account): Promise<string> {
  const { host } = scene;
  account.begin(
    '5. A container that cannot be removed',
    'A file in the old agent is made immutable, as on a host with faulty storage.',
  );
  const id = await account.expectAgent(images.a);
  account.type('chattr', '+i', '/var/lib/docker/overlay2/…/diff/unremovable');
  await host.makeUnremovable(agentName);
  const { status, stderr } = await runUpgrade(scene, account, images.b);
  account.quote(stderr);
  account.showGap();
  account.expect(status === 73, 'exit status 73');
  await account.expectState('degraded');
  await account.expectAgent(images.b);
  await account.end();
  return id;
}

async function clearAway(scene: Scene, account: Account, id: string): Promise<void> {
  account.begin('6. The storage is well again', 'The next start of the agent clears away what had to stay.');
  account.type('chattr', '-i', '/var/lib/docker/overlay2/…/diff/unremovable');
  await scene.host.makeRemovable(id);
  await account.docker('restart', agentName);
  await account.watch(`nothing but ${agentName}, state ok`, SETTLE_SECONDS, async () =>
    hasConverged(scene, images.b),
  );
  await account.expectAgent(images.b);
  await account.end();
}

/** What the server's script types to have an agent upgraded (contract §3). */
async function runUpgrade({ server }: Scene, account: Account, image: string) {
  // Else the agent would go back to the image that the server requires.
  server.setRequiredImage(image === images.broken ? images.a : image);
  await account.docker('rm', '-f', upgradeName);
  return account.docker(
    'run',
    '--privileged',
    '--name',
    upgradeName,
    ...socket,
    ...shorter,
    image,
    'upgrade',
  );
}

/** SIGKILLs caller and worker when the engine has parked the old agent and the worker does not know it yet. */
function killAtRename({ host }: Scene): Promise<void> {
  return new Promise((resolve, reject) => {
    const kill = async (): Promise<void> => {
      await host.docker('kill', '--signal', 'KILL', upgradeName, `${agentName}-worker`);
    };
    host.proxy.addRule({
      match: ({ path, query }) => path.endsWith('/rename') && query['name'] === `${agentName}-previous`,
      times: 1,
      action: { kind: 'call', when: 'after', run: () => kill().then(resolve, reject) },
    });
  });
}

/** The caller is the first to be killed. */
async function failIfOver(upgrading: Promise<unknown>): Promise<never> {
  await upgrading;
  await sleep(KILL_GRACE_MS);
  throw new Unexpected('expected: the upgrade parks the old agent');
}

/** One agent of this image, nobody in another role, the upgrade's container gone, and the state is ok. */
async function hasConverged(scene: Scene, wanted: string): Promise<boolean> {
  const [agent, ...others] = await scene.host.containers();
  const isAlone = agent?.name === agentName && agent.image === wanted && others.length === 0;
  return isAlone && agent.state === 'running' && (await scene.readStatus())['state'] === 'ok';
}

function tellUnlessStopped(error: unknown): undefined {
  if (!stopped.signal.aborted)
    console.error(
      `the host of the demo could not be started: ${error instanceof Error ? error.message : String(error)}`,
    );
}

async function untilStopped(): Promise<undefined> {
  if (!stopped.signal.aborted) await once(stopped.signal, 'abort');
  return undefined;
}

function tellHowToReach({ host, server }: Scene): void {
  console.log(`
── The host stays
   export DOCKER_HOST=unix://${host.engineSocketPath}
   docker ps -a
   docker exec ${agentName} /run.sh status
   a shell in it             nsenter ${enterHost(host.initPid).join(' ')} bash     (it has no systemd)
   its /var/lib/rancher      ${host.stateDir}
   registration URL          ${server.registrationUrl}
   end it with               kill ${process.pid}`);
}
