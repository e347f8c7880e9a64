import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bootstrapMarker } from '../support/server/stub/stub-bootstrap.ts';
import { certificates } from '../support/server/certificates.ts';
import { startStubServer } from '../support/server/stub/stub-server.ts';
import { fingerprints } from '../support/server/stub/stub-switches.ts';
import { pinnedApi } from '../support/host/engine-root.ts';
import { otherBases } from '../support/images/images.ts';
import { images, startScene, type Scene } from '../support/scenes/scene.ts';

/** The first time on a machine the bases are made: two systems from packages, and a bash that is compiled. */
const BASES_DEADLINE_MS = 15 * 60_000;

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'bases', images: 'other-bases' });
}, BASES_DEADLINE_MS);
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

const home = '/usr/lib/rancher-agent-entrypoint/';
const health = `${home}health.sh`;

/** The files that a process of the host has mapped into its memory. @param pid as the host counts */
async function mappedFiles(pid: number | string): Promise<readonly string[]> {
  const maps = await readFile(scene.host.pathInHost(`/proc/${pid}/maps`), 'utf8');
  const files = maps.split('\n').map((line) => line.split(/\s+/).slice(5).join(' '));
  return [...new Set(files.filter((file) => file.startsWith('/')))].sort();
}

async function childrenOf(pid: number): Promise<readonly string[]> {
  const processes = (await readdir(scene.host.pathInHost('/proc'))).filter((name) => /^\d+$/.test(name));
  const children = await Promise.all(
    processes.map(async (child) => {
      const status = await readFile(scene.host.pathInHost(`/proc/${child}/status`), 'utf8').catch(() => '');
      return status.includes(`\nPPid:\t${pid}\n`) ? child : undefined;
    }),
  );
  return children.filter((child) => child !== undefined);
}

/** The agent's own process, once the server's script runs below it. */
async function runningAgent(image: string): Promise<number> {
  return scene.waitFor(`an agent of ${image} with the server's script`, async () => {
    const agent = await scene.host.inspect('rancher-agent');
    if (agent?.Config.Image !== image) return undefined;
    const { stdout } = await scene.host.tryDocker('logs', 'rancher-agent');
    return stdout.includes(bootstrapMarker) ? agent.State.Pid : undefined;
  });
}

/** As the runbook has it after the way back on an engine older than 1.13. */
async function removeWorker(): Promise<void> {
  await scene.waitFor('an ended worker beside the agent', async () => {
    const [other, ...others] = (await scene.host.containers()).filter(({ name }) => name !== 'rancher-agent');
    const isIt = other?.name === 'rancher-agent-worker' && other.state === 'exited' && others.length === 0;
    return isIt ? true : undefined;
  });
  await scene.host.docker('rm', 'rancher-agent-worker');
  await scene.settled();
}

/** That Node has nothing of the base in its memory, and its child nothing of Node's in memory or environment. */
async function expectSeparated(agent: number): Promise<void> {
  const ours = await mappedFiles(agent);
  expect(ours).toContain(join(home, 'bin/node'));
  expect(ours.filter((file) => /\/(ld-|libc\.|libstdc)/.test(file)).length).toBeGreaterThanOrEqual(3);
  expect(ours.filter((file) => !file.startsWith(home))).toEqual([]);
  // Beside the bootstrap, a command of a second or less may run right after the start.
  const children = await scene.waitFor('no child but the bootstrap', async () => {
    const found = await childrenOf(agent);
    return found.length === 1 ? found : undefined;
  });
  for (const child of children) {
    const theirs = await mappedFiles(child);
    expect(theirs.length).toBeGreaterThan(0);
    expect(theirs.filter((file) => file.startsWith(home))).toEqual([]);
    const environment = await readFile(scene.host.pathInHost(`/proc/${child}/environ`), 'utf8');
    expect(environment.split('\0')).toContain('CATTLE_AGENT_PIDNS=host');
    expect(environment.split('\0').filter((entry) => /^(LD_|NODE_|GLIBC_)/.test(entry))).toEqual([]);
  }
}

const bases = [
  { name: 'Debian bookworm', a: images.a, b: images.b, shell: /\/ld-linux-x86-64\.so/ },
  ...otherBases.map((base) => ({
    name: base,
    a: `rancher/agent:on-${base}-a`,
    b: `rancher/agent:on-${base}-b`,
    // What a shell of that base has in its memory, to be sure that it is the base's: its loader, or none.
    shell: { bullseye: /\/ld-2\.31\.so/, busybox: undefined, musl: /\/(ld-musl|x86_64-linux-musl\/libc)/ }[
      base
    ],
  })),
];

describe.each(bases)('on $name', ({ a, b, shell }) => {
  it('registers, runs the bootstrap, upgrades; Node and base stay apart', async () => {
    scene.server.setRequiredImage(a);
    const registered = await scene.register(a);
    expect(registered, registered.stderr).toMatchObject({ status: 0 });
    await expectSeparated(await runningAgent(a));
    const check = ['exec', 'rancher-agent', health];
    expect(await scene.host.docker(...check)).toBe('healthy');
    expect(await scene.host.docker('exec', 'rancher-agent', '/run.sh', 'status')).toContain('state      ok');

    const upgraded = await scene.upgrade(b);
    expect(upgraded, upgraded.stderr).toMatchObject({ status: 0 });
    await expectSeparated(await runningAgent(b));
    await scene.settled();
    expect(await scene.readStatus()).toMatchObject({ state: 'ok', target: b });
    expect(await scene.host.docker(...check)).toBe('healthy');
  });

  it("becomes a command of the base with -- and runs it as the base's own", async () => {
    const ended = await scene.host.tryDocker('run', '--rm', a, '--', 'bash', '-c', 'echo $$; exit 7');
    expect(ended).toMatchObject({ status: 7, stdout: '1\n', stderr: '' });
    const maps = await scene.host.docker(
      'run',
      '--rm',
      a,
      '--',
      'sh',
      '-c',
      'while read -r l; do echo "$l"; done </proc/self/maps',
    );
    expect(maps).not.toContain(home);
    if (shell) expect(maps).toMatch(shell);
    else expect(maps).not.toMatch(/\/(ld-|libc)/);
    expect(await scene.host.docker('run', '--rm', a, '--', 'env')).not.toMatch(/^(LD_|NODE_)/m);
  });
});

describe("the base's own entrypoint", () => {
  const hardened = 'rancher/agent:on-bullseye-a';

  it('is kept, and can be run', async () => {
    const own = ['run', '--rm', '--entrypoint', '/run.sh.base'];
    expect(await scene.host.docker(...own, hardened, 'state')).toBe('Rancher State');
    // As it was in the base, and not there where the base has none.
    const read = ['run', '--rm', '--entrypoint', 'cat'];
    const script = await scene.host.docker(...read, 'other-base:bullseye', '/run.sh');
    expect(await scene.host.docker(...read, hardened, '/run.sh.base')).toBe(script);
    expect(await scene.host.tryDocker(...read, images.a, '/run.sh.base')).toMatchObject({ status: 1 });
  });

  it('can still be required: the agent goes back to an image with it', async () => {
    const folder = join(import.meta.dirname, '../support/images/base-entrypoint-image');
    const back = 'rancher/agent:v1.2.11-own';
    await scene.host.docker('build', '-q', '-t', back, '--build-arg', `IMAGE=${hardened}`, folder);
    scene.server.setRequiredImage(hardened);
    const registered = await scene.register(hardened);
    expect(registered, registered.stderr).toMatchObject({ status: 0 });
    await runningAgent(hardened);
    scene.server.setRequiredImage(back);
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    const agent = await scene.waitFor('an agent of the base alone', async () => {
      const found = await scene.host.inspect('rancher-agent');
      return found?.Config.Image === back && found.State.Running ? found : undefined;
    });
    // An engine without AutoRemove keeps the worker, which nobody follows any more, and no entrypoint of ours is left
    // to see to it.
    if (pinnedApi() === undefined) await scene.settled();
    else await removeWorker();
    const originalMessage = await readFile(scene.host.pathInHost(`/proc/${agent.State.Pid}/cmdline`), 'utf8');
    expect(originalMessage.split('\0').slice(0, 3)).toEqual(['/bin/bash', '/run.sh', 'run']);
    expect(await mappedFiles(agent.State.Pid)).not.toContain(join(home, 'bin/node'));
  });
});

describe('a program that a base lacks', () => {
  it('bash: the agent keeps running and reports it in its state and its log, because no restart would help', async () => {
    const image = 'rancher/agent:on-busybox-without-bash';
    scene.server.setRequiredImage(image);
    const registered = await scene.register(image);
    // The first agent of a host is promoted whatever its checks found, and the exit status says so.
    expect(registered, registered.stderr).toMatchObject({ status: 73 });
    const status = await scene.waitFor('the state failed', async () => {
      const found = await scene.readStatus();
      return found['state'] === 'failed' ? found : undefined;
    });
    expect(status).toMatchObject({ cause: 'no-bash', exitCode: 73 });
    expect(status['summary']).toContain('there is no bash in this image');
    const { stdout, stderr } = await scene.host.tryDocker('logs', 'rancher-agent');
    expect(stdout + stderr).toContain('nothing was run: ');
    expect(stdout + stderr).not.toMatch(/defect|at file:/);
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      RestartCount: 0,
      State: { Running: true },
    });
    // A restart gives the image no bash.
    expect(await scene.host.tryDocker('exec', 'rancher-agent', health)).toMatchObject({ status: 0 });
  });

  it('bash: the agent still follows its server to an image that has it', async () => {
    const image = 'rancher/agent:on-busybox-without-bash';
    const good = 'rancher/agent:on-busybox-a';
    scene.server.setRequiredImage(image);
    const registered = await scene.register(image);
    expect(registered, registered.stderr).toMatchObject({ status: 73 });
    await scene.waitFor('the cause no-bash', async () =>
      (await scene.readStatus())['cause'] === 'no-bash' ? true : undefined,
    );
    scene.server.setRequiredImage(good);
    // Nobody restarts it: its next try is at most two pauses away.
    const agent = await scene.waitFor(
      'the new agent',
      async () => {
        const found = await scene.host.inspect('rancher-agent');
        return found?.Config.Image === good && found.State.Running ? found : undefined;
      },
      120,
    );
    await runningAgent(good);
    expect(agent.RestartCount).toBe(0);
    await scene.settled();
    await scene.waitFor('state ok', async () =>
      (await scene.readStatus())['state'] === 'ok' ? true : undefined,
    );
  });

  it('update-ca-certificates and curl: an https server of its own authority is trusted all the same', async () => {
    const image = 'rancher/agent:on-busybox-a';
    const server = await startStubServer({
      host: scene.host.gateway,
      tls: certificates.server,
      requiredImages: [image],
    });
    try {
      server.behaviour.caCertificate = certificates.authority;
      const trust = ['-e', `CA_FINGERPRINT=${fingerprints.authority}`];
      const registered = await scene.registerAt(server.registrationUrl, image, ...trust);
      expect(registered, registered.stderr).toMatchObject({ status: 0 });
      expect(registered.stdout + registered.stderr).not.toContain('at file:');
      await runningAgent(image);
      await scene.settled();
      expect(await scene.readStatus()).toMatchObject({ state: 'ok' });
    } finally {
      await server.close();
    }
  });
});
