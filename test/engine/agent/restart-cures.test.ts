import { createSocket, type Socket } from 'node:dgram';
import { writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { enterHost } from '../../support/host/host-namespaces.ts';
import { leakHelpers, prepareLeakyHost, stillThere } from '../../support/scenes/leaky-host.ts';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';

/*
 * The two faults that a restart of the agent's container cures (readiness §5), made as a host makes them: a daemon with
 * live-restore is restarted, and a host gets its name servers after the agent has started.
 */

const run = promisify(execFile);
const keys = { accessKey: 'TESTACCESSKEY0000001', secretKey: 'testsecretkey000000000000000000000000001' };
const script = '/usr/lib/rancher-agent-entrypoint/health.sh';
const often = ['--health-interval', '500ms', '--health-retries', '2'];
const soon = limits({
  HEARTBEAT: 300,
  BOOTSTRAP_WATCH: 2_000,
  HEALTH_PROBE: 1_000,
  HEALTH_LOOKUP: 8_000,
  SOCKET_PATIENCE: 3_000,
  SERVING_GRACE: 2_000,
  SERVING_SILENCE: 3_000,
  SERVING_TICK: 300,
});

let scene: Scene;
let nameServer: Socket | undefined;

beforeAll(async () => {
  scene = await startScene({ name: 'cures', liveRestore: true, stub: { agents: [keys] } });
});
afterEach(async () => {
  nameServer?.close();
  nameServer = undefined;
  scene.server.setRequiredImage(images.a);
  await scene.reset();
});
afterAll(async () => scene.close());

/** The words of the check, run here and now. */
async function checkSays(says: RegExp): Promise<void> {
  await scene.waitFor(says.source, async () => {
    const { stdout } = await scene.host.tryDocker('exec', 'rancher-agent', script);
    return says.test(stdout) ? true : undefined;
  });
}

/** Docker's own check, and the words of the same check. */
async function healthBecomes(status: string, says: RegExp): Promise<void> {
  await checkSays(says);
  await scene.waitFor(`${status}: ${says.source}`, async () =>
    (await scene.host.inspect('rancher-agent'))?.State.Health?.Status === status ? true : undefined,
  );
}

async function stateBecomes(expected: Record<string, string>): Promise<void> {
  await scene.waitFor(JSON.stringify(expected), async () => {
    const status = await scene.readStatus().catch((): Record<string, unknown> => ({}));
    return Object.entries(expected).every(([name, value]) => status[name] === value) ? true : undefined;
  });
}

/** What the host has as /etc/resolv.conf, dockerd included. */
async function setResolver(address: string): Promise<void> {
  const file = join(scene.host.dir, `resolv.conf.${address}`);
  await writeFile(file, `nameserver ${address}\noptions timeout:1 attempts:1\n`);
  await run('nsenter', [...enterHost(scene.host.initPid), 'mount', '--bind', file, '/etc/resolv.conf']);
}

/** A name server on port 53 of the gateway: every name has the gateway's address, and none an IPv6 address. */
async function startNameServer(): Promise<void> {
  const socket = createSocket('udp4');
  nameServer = socket;
  const address = Buffer.from(scene.host.gateway.split('.').map(Number));
  socket.on('message', (query, from) => {
    const end = query.indexOf(0, 12) + 5;
    const isV4 = query.readUInt16BE(end - 4) === 1;
    const header = Buffer.from(query.subarray(0, 12));
    header.writeUInt16BE(0x8180, 2);
    header.writeUInt16BE(isV4 ? 1 : 0, 6);
    header.writeUInt32BE(0, 8);
    const record = Buffer.concat([Buffer.from('c00c00010001000000050004', 'hex'), address]);
    socket.send(
      Buffer.concat([header, query.subarray(12, end), ...(isV4 ? [record] : [])]),
      from.port,
      from.address,
    );
  });
  await new Promise<void>((resolve) => socket.bind(53, scene.host.gateway, resolve));
}

describe('what a restart of the agent cures', () => {
  it('a daemon with live-restore is restarted: the socket in the container is dead', async () => {
    await scene.startAgent(keys, ...often, ...soon, '-v', '/run/engine.sock:/var/run/docker.sock');
    await healthBecomes('healthy', /^healthy$/m);
    await scene.host.stopEngine();
    await scene.host.startEngine();
    await stateBecomes({ state: 'degraded', cause: 'socket-dead' });
    // Docker 20.10 itself no longer runs the check of a container that it has found again (engine-notes §9).
    await checkSays(/^unhealthy: the engine's socket/m);
    // The agent exits, and the engine starts it again: nobody has to.
    await scene.waitFor('a restart', async () =>
      (await scene.host.inspect('rancher-agent'))?.RestartCount === 1 ? true : undefined,
    );
    await stateBecomes({ state: 'ok' });
    await healthBecomes('healthy', /^healthy$/m);
    const listed = await scene.host.docker('exec', 'rancher-agent', '/run.sh', 'status', '--json');
    expect(JSON.parse(listed)).toMatchObject({ containers: [{ role: 'agent', state: 'running' }] });
    const { stdout, stderr } = await scene.host.tryDocker('logs', 'rancher-agent');
    expect(stdout + stderr).toMatch(/the engine's socket in this container is dead: restarting/);
  });

  it('until then its commands, and a clean-up that was under way, use the present socket', async () => {
    const ownSocket = ['-v', '/run/engine.sock:/var/run/docker.sock'];
    await prepareLeakyHost(scene.host);
    const leaked = await leakHelpers(scene.host, 120);
    await scene.startAgent(keys, ...soon, ...limits({ SOCKET_PATIENCE: 600_000 }), ...ownSocket);
    await checkSays(/^healthy$/m);
    const cleaner = ['run', '-d', '--name', 'cleaner', '--privileged', '--pid', 'host', ...ownSocket];
    const slowly = limits({ SWEEP_AGE: 0, CLEANUP_PARALLEL: 1 });
    await scene.host.docker(...cleaner, ...slowly, images.a, 'cleanup', '--yes');
    await scene.waitFor('a few are gone', async () =>
      (await stillThere(scene.host, leaked)).length < leaked.length - 5 ? true : undefined,
    );
    await scene.host.stopEngine();
    await scene.host.startEngine();
    const status = await scene.host.tryDocker('exec', 'rancher-agent', '/run.sh', 'status', '--json');
    expect(JSON.parse(status.stdout)).toMatchObject({ containers: [{ role: 'agent', state: 'running' }] });
    const exited = await scene.waitFor('the end of the clean-up', async () => {
      const state = (await scene.host.inspect('cleaner'))?.State;
      return state?.Running === false ? state : undefined;
    });
    const said = await scene.host.tryDocker('logs', 'cleaner');
    expect(exited.ExitCode, said.stdout + said.stderr).toBe(0);
    expect(await stillThere(scene.host, leaked)).toEqual([]);
  });

  it('a host gets its name servers after the agent has started', async () => {
    await startNameServer();
    const { port } = new URL(scene.server.url);
    await setResolver('127.0.0.9');
    await scene.startAgent(keys, ...often, ...soon, '-e', `CATTLE_URL=http://rancher.test:${port}/v1`);
    await stateBecomes({ state: 'degraded' });
    await healthBecomes('healthy', /^healthy$/m);
    await setResolver(scene.host.gateway);
    await stateBecomes({ state: 'degraded', cause: 'resolver-changed' });
    await healthBecomes('unhealthy', /resolv\.conf/);
    await scene.host.docker('restart', '-t', '5', 'rancher-agent');
    await stateBecomes({ state: 'ok' });
    await healthBecomes('healthy', /^healthy$/m);
    expect(scene.server.requestsTo('bootstrap').length).toBeGreaterThan(0);
  });
});
