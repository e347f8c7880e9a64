import { mkdir, readFile, statfs, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { callEngine } from '../../support/host/engine-call.ts';
import { enterHost } from '../../support/host/host-namespaces.ts';
import { images, limits } from '../../support/scenes/scene.ts';
import {
  run,
  mib,
  oldImage,
  scene,
  stageHost,
  socket,
  runDoctor,
  expectCauses,
  lineOf,
  registered,
  startAgent,
} from './doctor-stage.ts';

stageHost();

describe('the doctor on a host with a registered agent', () => {
  beforeAll(registered);
  afterAll(async () => scene.reset());
  afterEach(async () => {
    await scene.host.proxy.reset();
    await scene.host.freeDisk();
    await scene.host.tryDocker('rm', '-f', 'spare-agent');
    await scene.host.docker('start', 'rancher-agent');
  });

  it('reports a healthy host, from a container of its own and from within the agent', async () => {
    const diagnosis = await expectCauses([], 0);
    expect(diagnosis).toMatchObject({ version: 2, verdict: 'healthy' });
    const { body } = await callEngine(scene.host.socketPath, 'GET', '/version');
    const { Version, ApiVersion } = body as { Version: string; ApiVersion: string };
    const autoRemove =
      Number(ApiVersion.split('.')[1]) < 25 ? 'no AutoRemove (it came with 1.25)' : 'AutoRemove';
    const words = lineOf(diagnosis, 'engine')?.text;
    expect(words?.startsWith(`Docker ${Version}, API ${ApiVersion}, ${autoRemove}`), words).toBe(true);
    expect(words).toMatch(/; answers in \d/);
    expect(lineOf(diagnosis, 'agents')?.text).toMatch(
      /^rancher-agent runs for \d+ s: rancher\/agent:test-a$/,
    );
    expect(lineOf(diagnosis, 'storage')?.text).toMatch(/^overlay2; free: [\d.]+ GB of [\d.]+ GB, .* inodes$/);
    const inside = await scene.host.tryDocker('exec', 'rancher-agent', '/run.sh', 'doctor');
    expect(inside.stdout).toMatch(/^ ✓ engine /);
    expect(inside.stdout).toContain(' Healthy. ');
    expect(inside).toMatchObject({ status: 0, stderr: '' });
    expect(inside.stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(await scene.names()).toEqual(['rancher-agent']);
  });

  it('lists what it cannot check where mounts are missing, and its verdict is warnings', async () => {
    const blind = await scene.host.tryDocker('run', '--rm', ...socket, images.a, 'doctor');
    expect(blind.status).toBe(1);
    expect(blind.stdout).toContain('Start it with --privileged --pid=host.');
    expect(blind.stdout).toContain('-v /var/lib/rancher:/var/lib/rancher.');
    expect(blind.stdout).toMatch(
      /Could\s+not\s+be\s+checked:\s+storage,\s+mounts,\s+lock,\s+key,\s+serving,\s+state\./,
    );
    const without = await scene.host.tryDocker('run', '--rm', images.a, 'doctor');
    expect(without.status).toBe(2);
    expect(without.stdout).toMatch(/✗ engine .*no Docker socket/);
    // The host's processes are enough: the folder is found in the host's root.
    const rooted = await scene.host.tryDocker(
      'run',
      '--rm',
      '--privileged',
      '--pid=host',
      ...socket,
      images.a,
      'doctor',
    );
    expect(rooted, rooted.stdout).toMatchObject({ status: 0 });
  });

  it('names the processes that hold the mounts of other containers, and says that this kernel removes those containers anyway', async () => {
    // A container that binds / has slave mounts (engine-notes §3): an unmount reaches those, they hold nothing.
    const watching = ['-v', '/:/rootfs:ro', images.base, 'sleep', '3600'];
    await scene.host.docker('run', '-d', '--name', 'monitor', ...watching);
    const onHost = async (command: string): Promise<string> =>
      (await run('nsenter', [...enterHost(scene.host.initPid), 'sh', '-c', command])).stdout.trim();
    const pid = await onHost('unshare -m sleep 3600 </dev/null >/dev/null 2>&1 & echo $!');
    expect(lineOf(await expectCauses([], 0), 'mounts')?.text).toMatch(
      /^held by sleep \(pid \d+, on the host: \d+ mounts?\); this kernel removes the containers all the same$/,
    );
    await onHost(`kill ${pid}`);
    expect(lineOf(await expectCauses([], 0), 'mounts')?.text).toMatch(
      /^no process holds mounts of other containers/,
    );
    await scene.host.docker('rm', '-f', 'monitor');
  });

  it('reports two agents', async () => {
    await startAgent('spare-agent', images.a);
    const diagnosis = await expectCauses(['two-agents'], 2);
    expect(lineOf(diagnosis, 'agents')?.text).toMatch(/^2 agents run: rancher-agent \(.*spare-agent \(/s);
  });

  it('reports an agent that does not run', async () => {
    await scene.host.docker('kill', 'rancher-agent');
    const diagnosis = await expectCauses(['agent-stopped'], 2);
    expect(lineOf(diagnosis, 'agents')?.text).toMatch(
      /^rancher-agent \(.*\) does not run: exited for \d+ s \(status 137\)$/,
    );
    expect(lineOf(diagnosis, 'agents')?.advice).toContain('docker start rancher-agent');
  });

  it('reports a stale lock that a killed worker has left', async () => {
    const folder = join(scene.host.stateDir, 'entrypoint');
    const before = await readFile(join(folder, 'lock-owner.json'), 'utf8');
    const owner = JSON.parse(before) as { generation: number };
    const lock = join(folder, `lock-${owner.generation + 1}.lock`);
    await mkdir(lock);
    const killedAt = new Date(Date.now() - 20 * 60_000);
    await utimes(lock, killedAt, killedAt);
    await writeFile(
      join(folder, 'lock-owner.json'),
      JSON.stringify({ ...owner, generation: owner.generation + 1 }),
    );
    const diagnosis = await expectCauses(['worker-died'], 1);
    expect(lineOf(diagnosis, 'lock')?.text).toMatch(
      /^stale: held by "register" since .* not touched for 20 min$/,
    );
    await run('rmdir', [lock]);
    await writeFile(join(folder, 'lock-owner.json'), before);
  });

  it('reports low storage', async () => {
    const { bavail, bsize } = await statfs(scene.host.dockerRoot);
    await run('fallocate', [
      '-l',
      String(bavail * bsize - 100 * mib),
      join(scene.host.dockerRoot, 'filler-bytes'),
    ]);
    const diagnosis = await expectCauses(['storage-low'], 2);
    expect(lineOf(diagnosis, 'storage')?.text).toMatch(/^overlay2; free: 1\d\d MB of /);
  });

  it('reports the devicemapper pool of the incident: 75.5 MB of metadata, deferred removal and deletion off', async () => {
    const { body } = await callEngine(scene.host.engineSocketPath, 'GET', '/info');
    const pool = (used: string) => [
      ['Pool Name', 'docker-thinpool'],
      ['Data Space Used', '24.1 GB'],
      ['Data Space Total', '71.4 GB'],
      ['Metadata Space Used', used],
      ['Metadata Space Total', '75.5 MB'],
      ['Deferred Removal Enabled', 'false'],
      ['Deferred Deletion Enabled', 'false'],
    ];
    const answer = (used: string): void => {
      scene.host.proxy.clearRules();
      const info = { ...(body as object), Driver: 'devicemapper', DriverStatus: pool(used) };
      scene.host.proxy.addRule({
        match: ({ path }) => path === '/info',
        action: { kind: 'answer', status: 200, body: info },
      });
    };
    answer('40.2 MB');
    const alive = await expectCauses(['deferred-off'], 1);
    expect(lineOf(alive, 'pool')?.text).toContain('metadata 53 % (40.2 MB of 75.5 MB)');
    expect(alive.findings.find(({ cause }) => cause === 'deferred-off')?.advice).toContain(
      '--storage-opt dm.use_deferred_removal=true --storage-opt dm.use_deferred_deletion=true',
    );
    answer('73.9 MB');
    await expectCauses(['storage-low', 'deferred-off'], 2);
  });

  it('reports revoked keys', async () => {
    scene.server.behaviour.agentKeys = 'revoked';
    await expectCauses(['keys-revoked'], 2);
    // The agent has noticed as well: still one cause.
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    await scene.waitFor('the agent says so', async () =>
      (await scene.readStatus())['state'] === 'failed' ? true : undefined,
    );
    const diagnosis = await expectCauses(['keys-revoked'], 2);
    expect(lineOf(diagnosis, 'state')).toMatchObject({ level: 'unhealthy', cause: 'keys-revoked' });
    scene.server.behaviour.agentKeys = 'live';
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    await scene.waitFor('the agent says so', async () =>
      (await scene.readStatus())['state'] === 'ok' ? true : undefined,
    );
  });

  it('reports a server that does not answer', async () => {
    await scene.server.pause();
    try {
      const diagnosis = await expectCauses(['server-unavailable'], 2);
      expect(lineOf(diagnosis, 'server')?.text).toContain(`${scene.server.url}/v1 does not answer: `);
    } finally {
      await scene.server.resume();
    }
  });

  it('shows the rest within a limited time when the engine is frozen', async () => {
    await scene.host.freezeEngine();
    const begun = Date.now();
    // Nothing can be started by a frozen engine: the runbook's way into the agent's container.
    const command = `nsenter -t $(pgrep -o -f 'main.cjs run') -m /run.sh doctor`;
    const onHost = ['-t', String(scene.host.initPid), '-m', '-n', '-p', 'sh', '-c', command];
    const limit = { AGENT_LIMIT_DOCTOR_CALL: '3000', PATH: process.env['PATH'] ?? '' };
    const result = await run('nsenter', onHost, { env: limit }).catch(
      (error: unknown) => error as { stdout: string; code: number },
    );
    const took = Date.now() - begun;
    await scene.host.thawEngine();
    expect(took).toBeLessThan(8_000);
    expect(result.stdout).toMatch(/✗ engine .*no answer within 3 s/);
    expect(result.stdout).toMatch(/✓ lock +free/);
    expect(result.stdout).toMatch(/✓ state +ok for /);
    expect(result.stdout).toMatch(/✓ storage .* free: /);
    expect(result.stdout.replace(/\s+/g, ' ')).toContain(
      'Could not be checked: agents, leaks, restarts, server.',
    );
    expect(result).toMatchObject({ code: 2 });
  });

  it('names an agent whose shim hangs, and the agent returns when the shim is killed as the runbook says', async () => {
    const { Id = '' } = (await scene.host.inspect('rancher-agent')) ?? {};
    await scene.host.freezeShim(Id);
    // What a person tries first. From then on the engine answers nothing about this container.
    const stop = callEngine(scene.host.engineSocketPath, 'POST', `/containers/${Id}/stop?t=0`, {
      timeoutMs: 1_500,
    });
    await expect(stop).rejects.toThrow(/timeout/);
    const { diagnosis, status } = await runDoctor(...limits({ DOCTOR_INSPECT: 3_000 }));
    expect(diagnosis.causes).toEqual(['agent-hangs']);
    expect(status).toBe(2);
    expect(lineOf(diagnosis, 'agents')?.text).toContain(
      `the engine does not answer about rancher-agent (${Id.slice(0, 12)})`,
    );
    await scene.host.killShim(Id);
    await scene.waitFor('the container has ended', async () =>
      (await scene.host.inspect(Id))?.State.Status === 'exited' ? true : undefined,
    );
    await scene.host.docker('start', 'rancher-agent');
    await scene.settled();
    await expectCauses([], 0);
  });

  it('waits for an engine that takes seconds for each answer', async () => {
    scene.host.proxy.delayEach(2_000);
    await expectCauses([], 0);
  });
});

describe('the doctor on a host that leaks', () => {
  beforeAll(async () => {
    await scene.host.docker(
      'build',
      '-q',
      '-t',
      oldImage,
      join(import.meta.dirname, '../../support/images/old-agent-image'),
    );
    await registered();
    await scene.host.docker('rm', '-f', 'rancher-agent');
  });
  afterAll(async () => scene.reset());

  async function leaked(): Promise<readonly string[]> {
    return (await scene.host.containers())
      .filter(({ command }) => command.includes('inspect-host'))
      .map(({ id }) => id);
  }

  it('reports helpers that leak now: how many, how fast, by whose loop, for which server; also with API 1.22', async () => {
    await startAgent('rancher-agent', oldImage, '-e', `AGENT_IMAGE=${oldImage}`);
    await scene.waitFor('five leaks', async () => ((await leaked()).length >= 5 ? true : undefined));
    const settled = limits({ LEAK_GRACE: 1_000 });
    const diagnosis = await expectCauses(['leaking-now'], 2, ...settled);
    const leaks = lineOf(diagnosis, 'leaks');
    expect(leaks?.text).toMatch(
      /^\d+ leaked helpers, \d+ in the last hour, the last one \d s ago: STILL LEAKING$/,
    );
    expect(leaks?.details?.at(-1)).toMatch(
      /^created by: the loop of a legacy agent, rancher-agent \([0-9a-f]{12}\), rancher\/agent:v1\.0\.2, whose upgrades /,
    );
    expect(leaks?.details?.at(-1)).toContain(`${scene.server.url}/v1`);
    expect(leaks?.advice).toContain('docker stop rancher-agent');
    expect(leaks?.figures).toMatchObject({ leaking: true, makers: 'rancher-agent' });

    scene.host.proxy.pinApi('1.22');
    const pinned = await expectCauses(['leaking-now'], 2, ...settled);
    expect(lineOf(pinned, 'engine')?.text).toMatch(/API 1\.22, .*no AutoRemove/);
    scene.host.proxy.pinApi(undefined);
    await scene.host.docker('stop', '-t', '0', 'rancher-agent');
    await scene.host.docker('rm', 'rancher-agent');
  });

  it('reports helpers that leaked before: nothing creates new ones, and the agent is hardened', async () => {
    const left = await leaked();
    await scene.host.stopEngine();
    await Promise.all(left.map(makeOlder));
    await scene.host.startEngine();
    await startAgent('rancher-agent', images.a, ...limits({ SWEEP_COUNT: 0 }));
    const diagnosis = await expectCauses(['leaked-before'], 1);
    expect(lineOf(diagnosis, 'leaks')?.text).toBe(
      `${left.length} leaked helpers, created 3 h to 3 h ago; none now`,
    );
    expect(lineOf(diagnosis, 'leaks')?.figures).toMatchObject({
      total: left.length,
      leaking: false,
      lastHour: 0,
    });
  });

  /** Three hours, in the engine's own record. */
  async function makeOlder(id: string): Promise<void> {
    const file = join(scene.host.dockerRoot, 'containers', id, 'config.v2.json');
    const config = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    const made = new Date(Date.parse(String(config['Created'])) - 3 * 3_600_000);
    await writeFile(file, JSON.stringify({ ...config, Created: made.toISOString() }));
  }
});
