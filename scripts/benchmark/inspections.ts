/** What `inspect-host` costs: its wall time beside a container that does nothing, its CPU beside the reference's script. */
import type { Scene } from '../../test/support/scenes/scene.ts';
import { clearHost, imagesOf, timeDocker, ways, type Way } from './bench-scene.ts';
import { figureOf, type Figure } from './figure.ts';

const ROUNDS = 25;
const subject = 'inspect-host';
const home = '/usr/lib/rancher-agent-entrypoint';
/** Node as the launcher starts it. */
const node = `${home}/lib/ld.so`;
const flags = ['--inhibit-cache', '--library-path', `${home}/lib`, `${home}/bin/node`, '--v8-pool-size=1'];
/** As old agents mount it (contract §2). */
const mounts = [
  ...['--privileged', '-v', '/run:/run', '-v', '/var/run:/var/run', '-v', '/var/lib:/var/lib'],
  ...['-v', '/var/run/docker.sock:/var/run/docker.sock'],
];
/** So often in one exec: the clock of a process is coarse on some kernels. */
const REPEATS = 3;

export async function measureInspections(scene: Scene, rounds = ROUNDS): Promise<readonly Figure[]> {
  await clearHost(scene);
  const wall = { ours: [] as number[], nothing: [] as number[], node: [] as number[] };
  const cpu: Record<Way, number[]> = { ours: [], reference: [] };
  for (const way of ways) await startIdle(scene, way);
  const [image] = imagesOf.ours;
  for (let round = 0; round <= rounds; round += 1) {
    const looked = await timeDocker(scene, 'run', '--rm', ...mounts, image, 'inspect-host');
    const nothing = await timeDocker(scene, 'run', '--rm', ...mounts, '--entrypoint', '/bin/true', image);
    const empty = await timeDocker(
      scene,
      ...['run', '--rm', ...mounts, '--entrypoint', node, image, ...flags, '-e', '0'],
    );
    const used = { ours: await readCpu(scene, 'ours'), reference: await readCpu(scene, 'reference') };
    // The first round warms up.
    if (round === 0) continue;
    wall.ours.push(looked.ms);
    wall.nothing.push(nothing.ms);
    wall.node.push(empty.ms);
    for (const way of ways) cpu[way].push(used[way]);
  }
  await clearHost(scene);
  return [
    figureOf(
      subject,
      '`docker run`, beside `true` in the same image',
      'ms',
      { ours: wall.ours, reference: wall.nothing },
      { kind: 'ratio-at-most', value: 1.25 },
    ),
    figureOf(subject, 'an empty Node, beside `true`', 'ms', { ours: wall.node, reference: wall.nothing }),
    figureOf(subject, 'CPU in a started container', 'ms', cpu, { kind: 'ratio-at-most', value: 2 }),
  ];
}

async function startIdle(scene: Scene, way: Way): Promise<void> {
  const image = imagesOf[way][0];
  await timeDocker(
    scene,
    ...['run', '-d', '--name', `idle-${way}`, ...mounts, '--entrypoint', 'sleep', image, '86400'],
  );
}

/** User and system time of the process and its children, in ms, as the kernel reports them to the shell that started it. */
async function readCpu(scene: Scene, way: Way): Promise<number> {
  const script = `for i in $(seq ${REPEATS}); do /run.sh inspect-host >/dev/null || exit; done; times`;
  const { stdout } = await timeDocker(scene, 'exec', `idle-${way}`, 'bash', '-c', script);
  const children = stdout.trim().split('\n').at(-1) ?? '';
  const times = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  if (times.length !== 2) throw new Error(`not what bash says of times: ${stdout}`);
  const ms = times.map(([, minutes, seconds]) => (Number(minutes) * 60 + Number(seconds)) * 1000);
  return ms.reduce((sum, each) => sum + each, 0) / REPEATS;
}
