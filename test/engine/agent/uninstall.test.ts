import { execFile } from 'node:child_process';
import { access, appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { enterHost } from '../../support/host/host-namespaces.ts';
import { images, startScene, type Scene } from '../../support/scenes/scene.ts';

/*
 * docs/uninstall.md, command by command, as a person types it on the host: what is run here is read from the page.
 */

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..', '..');
const mounts = ['-v', '/var/lib/rancher:/var/lib/rancher'];

let scene: Scene;
let page = '';

beforeAll(async () => {
  page = await readFile(join(root, 'docs/uninstall.md'), 'utf8');
  scene = await startScene({ name: 'uninstall' });
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

/** The commands of one section of the page, in their order, for this image. */
function commandsOf(title: string, image: string): readonly string[] {
  const section = page.split(/^## /m).find((each) => each.startsWith(title)) ?? '';
  const blocks = [...section.matchAll(/^ *```\n([\s\S]*?)^ *```$/gm)].map(([, text = '']) => text);
  // A test has no terminal.
  return blocks.map((text) => text.replaceAll('IMAGE', image).replaceAll(' -it ', ' '));
}

/** @returns everything that a shell on the host prints */
async function typeOnHost(command: string): Promise<string> {
  const shell = ['bash', '-c', `exec 2>&1\n${command}\ntrue`];
  const { stdout } = await run('nsenter', [...enterHost(scene.host.initPid), ...shell], { timeout: 120_000 });
  return stdout;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function registerHere(image: string = images.a): Promise<void> {
  scene.server.setRequiredImage(image);
  const result = await scene.registerAt(scene.server.registrationUrl, image, ...mounts);
  expect(result, result.stderr).toMatchObject({ status: 0 });
}

describe('an agent is removed from a host', () => {
  it.each([
    ['rancher-1.2', images.a],
    ['rancher-1.0, with its state container', images.oldA],
  ])(
    'profile %s: nothing of it is left, other containers run on, and the machine is a new host',
    async (_profile, image) => {
      await registerHere(image);
      await scene.host.docker('run', '-d', '--name', 'web', '--entrypoint', 'sleep', images.upstream, '600');
      await scene.host.tryDocker('create', '--name', 'rancher-agent-previous', images.upstream);
      await scene.waitFor('the shared mount', async () =>
        (await typeOnHost('cat /proc/self/mountinfo')).includes('/var/lib/rancher/volumes')
          ? true
          : undefined,
      );
      const commands = commandsOf('Remove the agent from a host', image);
      expect(commands.length).toBeGreaterThanOrEqual(5);
      const outputs: string[] = [];
      for (const command of commands) outputs.push(await typeOnHost(command));
      const all = outputs.join('\n');
      expect(all).not.toMatch(/command not found|syntax error|target is busy/);

      const left = (await scene.host.containers()).map(({ name }) => name);
      expect(left, all).toEqual(['web']);
      expect(await scene.host.docker('volume', 'ls', '-q')).toBe('');
      for (const folder of ['entrypoint', 'etc', 'state'])
        expect(await exists(join(scene.host.stateDir, folder)), folder).toBe(false);
      expect(await typeOnHost('cat /proc/self/mountinfo')).not.toContain('/var/lib/rancher/volumes');
      expect(await typeOnHost('docker ps --format "{{.Names}}"')).toBe('web\n');
      expect(await scene.host.tryDocker('image', 'inspect', image)).toMatchObject({ status: 1 });
    },
  );

  it('a machine that was a host registers as another one afterwards', async () => {
    await registerHere();
    await scene.settled();
    const hosts = scene.server.registrations.length;
    // All but the last one, which removes the image.
    for (const command of commandsOf('Remove the agent from a host', images.a).slice(0, -1))
      await typeOnHost(command);
    await registerHere();
    await scene.settled();
    expect(scene.server.registrations).toHaveLength(hosts + 1);
  });
});

it('back to the legacy entrypoint: the agent follows its server, and the files that it does not use go', async () => {
  await registerHere();
  await scene.settled();
  const before = await scene.host.inspect('rancher-agent');
  const conf = join(scene.host.stateDir, 'etc/agent.conf');
  await mkdir(join(conf, '..'), { recursive: true });
  await writeFile(conf, '', { flag: 'a' });
  await appendFile(conf, 'export AGENT_LIMIT_READY=60000\nexport CATTLE_CHECK_NAMESERVER=false\n');
  scene.server.setRequiredImage(images.upstream);
  const [, , files = ''] = commandsOf('Go back to the legacy entrypoint', images.a);
  expect(files).toContain('rm -rf');
  await typeOnHost('docker restart rancher-agent');
  await scene.waitFor('the legacy agent', async () => {
    const agent = await scene.host.inspect('rancher-agent');
    return agent?.Config.Image === images.upstream && agent.State.Running ? true : undefined;
  });
  // The legacy image of these tests is one of profile rancher-1.0.
  await scene.only('rancher-agent', 'rancher-agent-state');
  const keys = (environment: readonly string[] = []): readonly string[] =>
    environment.filter((entry) => /^CATTLE_(ACCESS|SECRET)_KEY=/.test(entry)).sort();
  const after = await scene.host.inspect('rancher-agent');
  expect(keys(after?.Config.Env)).toEqual(keys(before?.Config.Env));
  expect(await typeOnHost('cat /var/lib/rancher/entrypoint/state')).toBe('degraded\n');
  await typeOnHost(files);
  expect(await exists(join(scene.host.stateDir, 'entrypoint'))).toBe(false);
  expect(await readFile(conf, 'utf8')).toBe('export CATTLE_CHECK_NAMESERVER=false\n');
  expect(await exists(join(scene.host.stateDir, 'state/.registration_token'))).toBe(true);
});
