import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CommandResult } from '../../support/host/host.ts';
import { images, startScene, type Scene } from '../../support/scenes/scene.ts';
import { certificates } from '../../support/server/certificates.ts';

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'identity' });
  await scene.host.knowMachine('0123456789abcdef0123456789abcdef');
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

/** Registers with a server that requires that very image, or its agent would be off to another one at once. */
async function register(image: string, ...options: readonly string[]): Promise<CommandResult> {
  scene.server.setRequiredImage(image);
  return scene.registerAt(scene.server.registrationUrl, image, ...options);
}

describe('profile rancher-1.0', () => {
  it('keeps an address that a person gave once, although v1.0.x takes that of the server otherwise', async () => {
    expect(
      await register(images.oldA, ...['-e', 'CATTLE_AGENT_IP=192.0.2.17', '-e', 'NO_PROXY=10.0.0.0/8']),
    ).toMatchObject({ status: 0 });
    await scene.settled('rancher-agent-state');
    const again = await register(images.oldA);
    expect(again, again.stderr).toMatchObject({ status: 0 });
    expect(again.stderr).toContain('CATTLE_AGENT_IP was not given again; it stays 192.0.2.17');
    expect(again.stderr).toContain(
      'settings of the agent before were not given again, and are gone: NO_PROXY, no_proxy',
    );
    const agent = await scene.host.inspect('rancher-agent');
    expect(agent?.Config.Env).toContain('CATTLE_AGENT_IP=192.0.2.17');
  });

  it('adds ca.crt to what the Python agent trusts: once, also after a restart, and again in a new version of it', async () => {
    const etc = join(scene.host.stateDir, 'etc/ssl');
    await mkdir(etc, { recursive: true });
    await writeFile(join(etc, 'ca.crt'), certificates.authority);
    const result = await register(images.oldA);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    const websocket = '/var/lib/cattle/pyagent/dist/websocket';
    const bundle = `${websocket}/cacert.pem`;
    const inAgent = async (command: string): Promise<string> =>
      scene.host.docker('exec', 'rancher-agent', 'bash', '-c', command);
    const comesWith = async (text: string): Promise<void> => {
      await inAgent(`mkdir -p ${websocket} && rm -f ${websocket}/* && echo '${text}' > ${bundle}`);
      await scene.host.docker('restart', '-t', '1', 'rancher-agent');
    };
    const hasIt = async (): Promise<true> =>
      scene.waitFor('the authority in the bundle', async () => {
        const text = await inAgent(`cat ${bundle}`).catch(() => '');
        return text.includes(certificates.authority.trim()) ? true : undefined;
      });
    await comesWith('first');
    await hasIt();
    await scene.host.docker('restart', '-t', '1', 'rancher-agent');
    await scene.settled('rancher-agent-state');
    expect(await inAgent(`grep -c 'BEGIN CERTIFICATE' ${bundle}`)).toBe('1');
    expect(await inAgent(`cat ${bundle}.orig`)).toBe('first');
    await comesWith('second');
    await hasIt();
    expect(await inAgent(`head -1 ${bundle}`)).toBe('second');
  });
});

it('a copied host key is warned about at registration, in the log of the agent and by the doctor, until it is parted', async () => {
  const doctor = async (): Promise<{ readonly causes: readonly string[] }> =>
    JSON.parse(
      (await scene.host.tryDocker('exec', 'rancher-agent', '/run.sh', 'doctor', '--json')).stdout,
    ) as { readonly causes: readonly string[] };
  const mounts = ['-v', '/var/lib/rancher:/var/lib/rancher'];
  expect(await scene.register(images.a, ...mounts)).toMatchObject({ status: 0 });
  await scene.settled();
  const file = join(scene.host.stateDir, 'entrypoint/machine.json');
  const record = JSON.parse(await readFile(file, 'utf8')) as object;
  expect((await doctor()).causes).not.toContain('cloned-machine');
  // As if the disk had come from another machine.
  const elsewhere = { ...record, hardware: 'ab'.repeat(16), system: 'cd'.repeat(16) };
  if (!('hardware' in record)) delete (elsewhere as { hardware?: string }).hardware;
  await writeFile(file, JSON.stringify(elsewhere));
  expect((await doctor()).causes).toContain('cloned-machine');
  const again = await scene.register(images.a, ...mounts);
  expect(again, again.stderr).toMatchObject({ status: 0 });
  expect(again.stderr).toContain('the host key of this machine was kept on another machine');
  await scene.host.docker('restart', '-t', '1', 'rancher-agent');
  await scene.waitFor('the warning in the log of the agent', async () => {
    const { stderr } = await scene.host.tryDocker('logs', 'rancher-agent');
    return stderr.includes('was kept on another machine') ? true : undefined;
  });
  expect((await doctor()).causes).toContain('cloned-machine');
  // What the runbook says for the copy.
  await rm(join(scene.host.stateDir, 'state/.registration_token'));
  const hosts = scene.server.registrations.length;
  expect(await scene.register(images.a, ...mounts)).toMatchObject({ status: 0 });
  await scene.settled();
  expect(scene.server.registrations).toHaveLength(hosts + 1);
  expect((await doctor()).causes).not.toContain('cloned-machine');
});

it('the doctor names an address that this host no longer has', async () => {
  const gone = ['-e', 'CATTLE_AGENT_IP=10.255.254.253'];
  expect(await scene.register(images.a, ...gone)).toMatchObject({ status: 0 });
  await scene.settled();
  const doctor = async (): Promise<string> =>
    (await scene.host.tryDocker('exec', 'rancher-agent', '/run.sh', 'doctor', '--json')).stdout;
  expect(await doctor()).toContain('"address-gone"');
  const right = ['-e', `CATTLE_AGENT_IP=${scene.host.address}`];
  expect(await scene.register(images.a, ...right)).toMatchObject({ status: 0 });
  await scene.settled();
  expect(await doctor()).toContain('an address of this host');
});

it('doctor --bundle writes one file without a secret, on the host, beside a running agent', async () => {
  const mounts = ['-v', '/var/lib/rancher:/var/lib/rancher'];
  expect(await scene.register(images.a, ...mounts)).toMatchObject({ status: 0 });
  await scene.settled();
  const bundle = async (): Promise<CommandResult> =>
    scene.host.tryDocker(
      ...['run', '--rm', '--privileged', '--pid=host', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
      ...[...mounts, '-v', '/var/lib/rancher:/out', images.a, 'doctor', '--bundle', '/out/bundle.txt'],
    );
  const { stderr } = await bundle();
  expect(stderr).toContain('read it before you attach it');
  const file = join(scene.host.stateDir, 'bundle.txt');
  const text = await readFile(file, 'utf8');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(text).toContain('==== container rancher-agent (agent) ====');
  expect(text).toContain('running the bootstrap of');
  const keys = scene.server.agents.at(-1);
  const hostKey = (await readFile(join(scene.host.stateDir, 'state/.registration_token'), 'utf8')).trim();
  for (const secret of [keys?.accessKey, keys?.secretKey, hostKey, scene.server.token])
    expect(text).not.toContain(secret);
  expect(await bundle()).toMatchObject({ status: 73 });
});
