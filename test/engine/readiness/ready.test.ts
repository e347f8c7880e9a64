import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  readinessChecks,
  readinessFile,
  readinessResultSchema,
  type ReadinessResult,
} from '../../../src/agent/run/readiness/result.ts';
import { bootstrapMarker } from '../../support/server/stub/stub-bootstrap.ts';
import type { CommandResult } from '../../support/host/host.ts';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';

/** Of an agent that the server knows from the start. */
const keys = { accessKey: 'TESTACCESSKEY0000001', secretKey: 'testsecretkey000000000000000000000000001' };

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'ready', stub: { agents: [keys] } });
});
afterEach(async () => {
  await scene.server.heal();
  await scene.reset();
});
afterAll(async () => scene.close());

/** Nobody settles anything while a test looks at an agent on standby. */
const alone = limits({ STANDBY_ALONE: 600_000 });

/** An agent as the worker creates it, by hand and under another name. */
async function startNext(image: string = images.b, ...options: readonly string[]): Promise<void> {
  await scene.host.docker(
    ...['run', '-d', '--name', 'rancher-agent-next', '--restart', 'always', '--privileged'],
    ...['--net', 'host', '--pid', 'host', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
    ...['-v', '/proc:/host/proc', '-v', '/dev:/host/dev', '-v', '/var/lib/rancher:/var/lib/rancher'],
    ...['-e', `CATTLE_URL=${scene.server.url}/v1`],
    ...['-e', `CATTLE_ACCESS_KEY=${keys.accessKey}`, '-e', `CATTLE_SECRET_KEY=${keys.secretKey}`],
    ...alone,
    ...options,
    image,
    'run',
  );
}

/** Its record has been written when its bootstrap is seen to be connected: from then on it is only refreshed. */
async function activeAgent(): Promise<void> {
  await scene.startAgent(keys);
  await scene.waitFor('the bootstrap', async () => {
    const { stdout } = await scene.host.tryDocker('logs', 'rancher-agent');
    return stdout.includes(bootstrapMarker) ? true : undefined;
  });
  const record = join(scene.host.stateDir, 'entrypoint/serving.json');
  await scene.waitFor('its connection', async () =>
    (await readFile(record, 'utf8')).includes('"connection": "open"') ? true : undefined,
  );
}

/** As the worker reads it: through the process of the container. */
async function readResult(name = 'rancher-agent-next'): Promise<ReadinessResult> {
  return scene.waitFor(`the result of ${name}`, async () => {
    const pid = (await scene.host.inspect(name))?.State.Pid ?? 0;
    if (pid === 0) return undefined;
    const file = scene.host.pathInHost(join(`/proc/${pid}/root`, readinessFile));
    const text = await readFile(file, 'utf8').catch(() => undefined);
    return text === undefined ? undefined : v.parse(readinessResultSchema, JSON.parse(text));
  });
}

async function ready(...options: readonly string[]): Promise<CommandResult> {
  return scene.host.tryDocker('exec', ...options, 'rancher-agent', '/run.sh', 'ready');
}

/** Every file below the host's folder, with its time and size; the heartbeat of the active agent itself left out. */
async function filesOfHost(): Promise<readonly string[]> {
  const names = await readdir(scene.host.stateDir, { recursive: true });
  const lines = await Promise.all(
    names.map(async (name) => {
      const { mtimeMs, size } = await stat(join(scene.host.stateDir, name));
      return `${name} ${mtimeMs} ${size}`;
    }),
  );
  return lines.sort();
}

describe('run.sh ready in an active agent', () => {
  it('makes every check, says so, and changes nothing', async () => {
    await activeAgent();
    await scene.settled();
    const [files, processes] = await Promise.all([
      filesOfHost(),
      scene.host.docker('exec', 'rancher-agent', 'pgrep', '-x', '-f', 'sleep 86400'),
    ]);
    const shown = await ready();
    expect(shown.status, shown.stderr).toBe(0);
    expect(shown.stdout.split('\n').slice(0, 5)).toEqual(readinessChecks.map((check) => ` ✓ ${check}`));
    const { stdout } = await scene.host.tryDocker('exec', 'rancher-agent', '/run.sh', 'ready', '--json');
    const own = await scene.host.inspect('rancher-agent');
    expect(v.parse(readinessResultSchema, JSON.parse(stdout))).toMatchObject({
      container: own?.Id,
      startedAt: Date.parse(own?.State.StartedAt ?? ''),
      restartCount: 0,
      server: scene.server.url,
      ready: true,
    });
    expect(await filesOfHost()).toEqual(files);
    expect(await scene.host.docker('exec', 'rancher-agent', 'pgrep', '-x', '-f', 'sleep 86400')).toBe(
      processes,
    );
    const file = await scene.host.tryDocker('exec', 'rancher-agent', 'test', '-e', readinessFile);
    expect(file.status).toBe(1);
    expect(await scene.names()).toEqual(['rancher-agent']);
  });

  it.each([
    ['a name that is not there', ['-e', 'CATTLE_URL=http://no-such-name.invalid/v1'], 75, 'server'],
    ['a proxy that leads nowhere', ['-e', 'http_proxy=http://127.0.0.1:1'], 75, 'server'],
    ['keys that the server does not know', ['-e', 'CATTLE_SECRET_KEY=another-secret-key-0000'], 77, 'keys'],
    ['no program but those of the entrypoint', ['-e', 'PATH=/nowhere'], 73, 'programs'],
  ])('%s: the exit status says whose fault it is', async (_name, options, status, check) => {
    await activeAgent();
    scene.server.behaviour.auth = 'on';
    const shown = await ready(...options);
    expect(shown, shown.stderr).toMatchObject({ status });
    expect(shown.stdout).toContain(` ✗ ${check}: `);
    expect(shown.stdout + shown.stderr).not.toContain('another-secret-key-0000');
  });
});

describe('run.sh ready in a container by hand', () => {
  async function readyBy(...options: readonly string[]): Promise<CommandResult> {
    return scene.host.tryDocker(
      'run',
      '--rm',
      '--privileged',
      '--net',
      'host',
      ...options,
      images.b,
      'ready',
    );
  }

  it('without a server or keys it is a wrong configuration, and not the network', async () => {
    const shown = await readyBy('-e', `CATTLE_URL=${scene.server.url}/v1`);
    expect(shown, shown.stderr).toMatchObject({ status: 78 });
    expect(shown.stderr).toContain('CATTLE_URL, CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY must be set');
  });

  it('a proxy that takes the request and hangs is named, without its password', async () => {
    scene.server.fault('any', 'hang-accept');
    const proxy = scene.server.url.replace('//', '//me:hunter2@');
    const shown = await readyBy(
      ...['-e', 'CATTLE_URL=http://rancher.invalid/v1', '-e', `http_proxy=${proxy}`],
      ...['-e', `CATTLE_ACCESS_KEY=${keys.accessKey}`, '-e', `CATTLE_SECRET_KEY=${keys.secretKey}`],
      ...limits({ READY_REQUEST: 2_000 }),
    );
    expect(shown, shown.stderr).toMatchObject({ status: 75 });
    const text = shown.stdout.replace(/\s+/g, ' ');
    expect(text).toContain('ready-server-no-answer');
    expect(text).toContain(`no answer comes through the proxy ${scene.server.url}`);
    expect(shown.stdout + shown.stderr).not.toContain('hunter2');
  });
});

describe('a next agent on standby', () => {
  it('proves its readiness at once, beside the active agent, and leaves the host as it is', async () => {
    await activeAgent();
    await scene.settled();
    // The bootstrap of the active agent writes a file of its own.
    await scene.waitFor('the bootstrap of the active agent', async () =>
      (await filesOfHost()).some((line) => line.startsWith('state/bootstrap-ran')) ? true : undefined,
    );
    const before = await filesOfHost();
    await startNext();
    const result = await readResult();
    const own = await scene.host.inspect('rancher-agent-next');
    expect(result).toMatchObject({
      container: own?.Id,
      startedAt: Date.parse(own?.State.StartedAt ?? ''),
      restartCount: 0,
      ready: true,
      passed: readinessChecks,
    });
    const log = await scene.host.tryDocker('logs', 'rancher-agent-next');
    expect(log.stderr).toContain('ready: every check passed within');
    expect(log.stdout).not.toContain(bootstrapMarker);
    // Only the lock on the mounts is new.
    const added = (await filesOfHost())
      .filter((line) => !before.includes(line))
      .map((line) => line.split(' ')[0]);
    expect(added.filter((name) => !/^entrypoint(\/mounts(\/.*)?)?$/.test(name ?? ''))).toEqual([]);
  });

  it('has one result for each start, and none of another container counts as its own', async () => {
    await startNext();
    const first = await readResult();
    await scene.host.docker('commit', 'rancher-agent-next', 'rancher/agent:committed');
    const copied = await scene.host.docker(
      ...['run', '--rm', '--entrypoint', 'cat', 'rancher/agent:committed', readinessFile],
    );
    expect(JSON.parse(copied)).toMatchObject({ container: first.container });
    await scene.host.docker('rm', '-f', 'rancher-agent-next');
    await startNext('rancher/agent:committed');
    const own = (await scene.host.inspect('rancher-agent-next'))?.Id;
    const result = await scene.waitFor('a result of its own', async () => {
      const found = await readResult();
      return found.container === own ? found : undefined;
    });
    expect(result.ready).toBe(true);
    await scene.host.docker('restart', '-t', '1', 'rancher-agent-next');
    await scene.waitFor('a result of the second start', async () => {
      const { startedAt } = await readResult();
      return startedAt > result.startedAt ? true : undefined;
    });
  });

  it('without bash says so, and is at fault itself', async () => {
    await scene.host.docker('run', '--name', 'maker', '--entrypoint', 'rm', images.b, '/bin/bash');
    const change = ['--change', 'ENTRYPOINT ["/run.sh"]', '--change', 'CMD []'];
    await scene.host.docker('commit', ...change, 'maker', 'rancher/agent:bashless');
    await scene.host.docker('rm', 'maker');
    await startNext('rancher/agent:bashless');
    expect(await readResult()).toMatchObject({
      ready: false,
      failure: { check: 'programs', fault: 'image', cause: 'ready-programs-missing' },
    });
  });

  it('starts its bootstrap as soon as it is promoted', async () => {
    await startNext();
    await readResult();
    const begun = Date.now();
    await scene.host.docker('rename', 'rancher-agent-next', 'rancher-agent');
    await scene.waitFor('the bootstrap', async () => {
      const { stdout } = await scene.host.tryDocker('logs', 'rancher-agent');
      return stdout.includes(bootstrapMarker) ? true : undefined;
    });
    // With the client of Docker, which needs some tenths of a second for each of these commands.
    expect(Date.now() - begun).toBeLessThan(3_000);
  });
});
