/** What memory `run` keeps while it only waits, beside an idle Node with the same flags. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scene } from '../../test/support/scenes/scene.ts';
import { clearHost, imagesOf, timeDocker } from './bench-scene.ts';
import { figureOf, type Figure, type Samples } from './figure.ts';
import { startAgent } from './upgrades.ts';

const subject = 'memory of run';
/** The agent has settled by then; what it needed for its start is given back. */
const SETTLE_MS = 20_000;
const LOOKS = 5;
const LOOK_PAUSE_MS = 1_000;

interface Memory {
  /** MiB */
  readonly pss: number;
  readonly uss: number;
  /** Of USS what no file can give again: in a fleet's memory that is what counts. */
  readonly dirty: number;
}

export async function measureMemory(
  scene: Scene,
  looks = LOOKS,
  settleMs = SETTLE_MS,
): Promise<readonly Figure[]> {
  await startAgent(scene, 'ours', 0);
  const node = await readNodeCommand(scene);
  const agent = await lookAt(scene, 'rancher-agent', looks, settleMs);
  await clearHost(scene);
  // One after the other: side by side they would share what each has for itself on a host.
  await timeDocker(
    scene,
    ...[
      'run',
      '-d',
      '--name',
      'idle-node',
      '--entrypoint',
      node[0] ?? '',
      imagesOf.ours[0],
      ...node.slice(1),
    ],
    ...['-e', 'setInterval(() => {}, 1e6)'],
  );
  const idle = await lookAt(scene, 'idle-node', looks, settleMs);
  await clearHost(scene);
  const samples = (of: (memory: Memory) => number): Samples => ({
    ours: agent.map(of),
    reference: idle.map(of),
  });
  return [
    figureOf(
      subject,
      'private (USS)',
      'MiB',
      samples(({ uss }) => uss),
    ),
    figureOf(
      subject,
      'private and written to',
      'MiB',
      samples(({ dirty }) => dirty),
    ),
    figureOf(
      subject,
      'in all (PSS)',
      'MiB',
      samples(({ pss }) => pss),
    ),
  ];
}

async function lookAt(
  scene: Scene,
  container: string,
  looks: number,
  settleMs: number,
): Promise<readonly Memory[]> {
  await sleep(settleMs);
  const memories: Memory[] = [];
  for (let look = 0; look < looks; look += 1) {
    memories.push(await memoryOf(scene, await processesOf(scene, container)));
    await sleep(LOOK_PAUSE_MS);
  }
  return memories;
}

/** The agent's own command line up to its program. */
async function readNodeCommand(scene: Scene): Promise<readonly string[]> {
  const [node] = await processesOf(scene, 'rancher-agent');
  if (node === undefined) throw new Error('the agent has no process');
  const words = (await readFile(scene.host.pathInHost(`/proc/${node}/cmdline`), 'utf8')).split('\0');
  const program = words.findIndex((word) => /\.(m?js|cjs)$/.test(word));
  if (program < 1) throw new Error(`this agent runs no Node program: ${words.join(' ')}`);
  return words.slice(0, program);
}

/** The processes of a container but those of the server's script: the entrypoint, and its launcher if that stays. */
async function processesOf({ host }: Scene, container: string): Promise<readonly number[]> {
  const top = await host.docker('top', container, '-eo', 'pid,ppid,args');
  const rows = top.split('\n').slice(1);
  const processes = rows.map((row) => {
    const [pid = '', parent = '', ...command] = row.trim().split(/\s+/);
    return { pid: Number(pid), parent: Number(parent), command: command.join(' ') };
  });
  const node = processes.find(({ command }) => /\bnode\b/.test(command));
  return processes
    .filter(({ pid, command }) => pid === node?.pid || command.includes('/run.sh'))
    .toSorted((one, other) => Number(other.pid === node?.pid) - Number(one.pid === node?.pid))
    .map(({ pid }) => pid);
}

async function memoryOf({ host }: Scene, pids: readonly number[]): Promise<Memory> {
  const sum = { pss: 0, uss: 0, dirty: 0 };
  for (const pid of pids) {
    const text = await readFile(host.pathInHost(`/proc/${pid}/smaps_rollup`), 'utf8');
    const mib = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]) / 1024;
    sum.pss += mib('Pss');
    sum.dirty += mib('Private_Dirty');
    sum.uss += mib('Private_Clean') + mib('Private_Dirty');
  }
  return sum;
}
