/**
 * A host as the incident left it: leaked helpers, containers that only look like them, and the agent whose loop leaks
 * more.
 */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ageContainers, makeLeak, makeLeaks, shareMnt, type Leak } from './leak-maker.ts';
import { toldApi } from '../host/engine-root.ts';
import type { TestHost } from '../host/test-host.ts';

/** The image of the incident, by name: its own entrypoint is never needed, only what it is called by. */
export const oldImage = 'rancher/agent:v1.0.2';
export const otherOldImage = 'rancher/agent:v1.2.11';
const base = 'agent-test-base';
const system = 'io.rancher.container.system';
const entrypoint = '/run.sh';
const day = 86_400_000;

/** Names the old images, and puts scripts where containers find them as their entrypoints. */
export async function prepareLeakyHost(host: TestHost): Promise<void> {
  for (const image of [oldImage, otherOldImage, 'notrancher/agent:v1.0.2', 'corp/shop:7'])
    await host.docker('tag', base, image);
  await script(host, 'quick.sh', 'exit 0');
  await script(host, 'sleeper.sh', 'exec sleep 3600');
  await script(
    host,
    'old-agent.sh',
    `while :; do docker create --entrypoint ${entrypoint} ${oldImage} inspect-host >/dev/null; sleep 0.5; done`,
  );
}

/** A command with which a container with `/run.sh` really runs, and exits at once. */
const quick = ['/var/lib/rancher/quick.sh:/run.sh', '/run:/run', '/var/run:/var/run'];
const sleeper = ['/var/lib/rancher/sleeper.sh:/run.sh'];

/**
 * Leaks helpers as the incident did. Every 25th has really run and exited.
 * @returns their ids, the first one created first
 */
export async function leakHelpers(host: TestHost, count: number): Promise<readonly string[]> {
  const leaks = Array.from({ length: count }, (_, index): Leak => {
    const command = index % 4 === 3 ? { command: shareMnt } : {};
    const image = index % 10 === 9 ? otherOldImage : oldImage;
    const run = index % 25 === 0 ? { binds: quick, start: true } : {};
    return { image, entrypoint, ...command, ...run };
  });
  return makeLeaks(host.engineSocketPath, leaks);
}

/**
 * Creates 50 containers that look like leaked helpers in all but one respect. Some of them, and all of `leaked`, are a
 * day old then.
 * @returns their ids
 */
export async function createBystanders(
  host: TestHost,
  leaked: readonly string[],
): Promise<readonly string[]> {
  const own = { image: oldImage, entrypoint };
  const old: Leak[] = [
    { ...own, command: ['state'] },
    { ...own, command: ['upgrade'] },
    { ...own, command: ['run'] },
    { ...own, command: ['inspect-host', '--debug'] },
    { ...own, command: [...shareMnt.slice(0, -1), 'kubelet'] },
    { ...own, command: ['--', 'true'] },
    { ...own, entrypoint: '/bin/true' },
    { ...own, command: [] },
    { ...own, name: 'rancher-agent-upgrade-2' },
    { ...own, name: 'inspect-by-hand' },
    { ...own, name: 'rancher-agent-previous-2' },
    { ...own, restart: 'always' },
    { ...own, restart: 'on-failure' },
    { ...own, labels: { 'com.example.keep': 'yes' } },
    { ...own, labels: { 'io.rancher.agent-entrypoint.role': 'worker' } },
    { ...own, labels: { [system]: 'NetworkAgent' } },
    { ...own, image: base },
    { ...own, image: 'corp/shop:7' },
    { ...own, image: 'notrancher/agent:v1.0.2' },
    { ...own, image: 'corp/shop:7', labels: { [system]: 'rancher-agent' } },
  ];
  const ids = await makeLeaks(host.engineSocketPath, [...old, ...old.map(withoutName)]);
  await ageContainers(host, [...leaked, ...ids], new Date(Date.now() - day));
  const running = { ...own, binds: sleeper, start: true };
  const young = await makeLeaks(host.engineSocketPath, [
    ...[running, running, running, running],
    ...[own, own, own, own],
    { ...own, binds: quick, start: true },
  ]);
  const paused = await makeLeak(host.engineSocketPath, running);
  await host.docker('pause', paused);
  return [...ids, ...young, paused];
}

/** The agent of the incident: its loop leaks two a second. */
export async function startOldAgent(host: TestHost): Promise<string> {
  return host.docker(
    ...['run', '-d', '--name', 'rancher-agent', '--restart', 'always', '--privileged', ...toldApi()],
    ...['-v', '/var/run/docker.sock:/var/run/docker.sock', '-v', '/var/lib/rancher:/var/lib/rancher'],
    ...['-e', 'CATTLE_URL=http://server:8080/v1', '-e', 'CATTLE_ACCESS_KEY=TESTACCESSKEY0000001'],
    ...['-e', 'CATTLE_SECRET_KEY=testsecretkey000000000000000000000000001'],
    ...['--entrypoint', '/var/lib/rancher/old-agent.sh', oldImage, 'run'],
  );
}

/** Those of the given containers that are still there. */
export async function stillThere(host: TestHost, ids: readonly string[]): Promise<readonly string[]> {
  const there = new Set((await host.containers()).map(({ id }) => id));
  return ids.filter((id) => there.has(id));
}

/** Two containers cannot have one name. */
function withoutName(leak: Leak, index: number): Leak {
  return leak.name === undefined ? leak : { ...leak, name: `${leak.name}-copy-${index}` };
}

async function script(host: TestHost, name: string, text: string): Promise<void> {
  const file = join(host.stateDir, name);
  await writeFile(file, `#!/bin/sh\n${text}\n`);
  await chmod(file, 0o755);
}
