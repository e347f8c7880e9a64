import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { callEngine } from '../../support/host/engine-call.ts';
import {
  cellOf,
  faults,
  phases,
  type Ending,
  type Fault,
  type Phase,
} from '../../support/faults/fault-table.ts';
import { runCell } from '../../support/faults/matrix.ts';
import { images, startScene, type Scene } from '../../support/scenes/scene.ts';
import { byScript } from '../../support/faults/upgrade-way.ts';

/** Upgrades in a row; scripts/long/soak makes it 200. */
const upgrades = Number(process.env['SOAK_UPGRADES'] ?? '6');
const seed = Number(process.env['SOAK_SEED'] ?? '20161122');

/** Faults that need a disk of their own, or half a minute each, are the matrix's. */
const leftOut: readonly Fault[] = ['no space', 'no inodes', 'daemon frozen 30 s'];

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'soak' });
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
});
afterAll(async () => scene.close());

/**
 * What the entrypoint keeps on the host in `/var/lib/rancher/entrypoint`: `reported.json` only after the first error,
 * `status.json.damaged` after a fault that put something else in its place. Of each there is one.
 */
const kept = [
  ...['attempts.json', 'lock-owner.json', 'mounts', 'reported.json', 'server.json', 'serving.json', 'state'],
  ...['status.json', 'status.json.damaged', 'worker.log', 'worker.log.1'],
];

/** Everything of the host that could grow from upgrade to upgrade. */
async function takeStock(): Promise<Record<string, number | readonly string[]>> {
  const { body } = await callEngine(scene.host.engineSocketPath, 'GET', '/system/df');
  const { Images, Volumes } = body as Record<string, readonly unknown[]>;
  const folder = join(scene.host.stateDir, 'entrypoint');
  const files = await readdir(folder);
  return {
    containers: (await scene.host.containers()).length,
    images: Images?.length ?? 0,
    volumes: Volumes?.length ?? 0,
    layers: (await readdir(join(scene.host.dockerRoot, 'overlay2'))).length,
    statusKiB: Math.ceil((await stat(join(folder, 'status.json'))).size / 1024),
    attemptsKiB: Math.ceil((await stat(join(folder, 'attempts.json'))).size / 4096) * 4,
    otherFiles: files.filter((name) => !kept.includes(name)),
  };
}

/** Memory (kB) and open files of the active agent. */
async function weighAgent(): Promise<{ readonly kb: number; readonly files: number }> {
  const pid = (await scene.host.inspect('rancher-agent'))?.State.Pid ?? 0;
  const inHost = scene.host.pathInHost(`/proc/${pid}`);
  const rss = /VmRSS:\s+(\d+)/.exec(await readFile(join(inHost, 'status'), 'utf8'))?.[1];
  return { kb: Number(rss), files: (await readdir(join(inHost, 'fd'))).length };
}

const settling = { interval: 2_000, timeout: 60_000 };

interface RandomCell {
  readonly phase: Phase;
  readonly fault: Fault;
  readonly ends: Ending;
}

/** A small generator with a seed, so that a run can be had again. */
function* randomCells(): Generator<RandomCell> {
  const cells = faults
    .filter((fault) => !leftOut.includes(fault))
    // Images A and B are on the host: nothing is pulled.
    .flatMap((fault) => phases.filter((phase) => phase !== 'pull').map((phase) => ({ phase, fault })))
    .flatMap(({ phase, fault }) => {
      const cell = cellOf(phase, fault);
      return 'ends' in cell ? [{ phase, fault, ends: cell.ends }] : [];
    });
  for (let state = seed; ;) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    const cell = cells[Math.floor((state / 2_147_483_648) * cells.length)];
    if (cell !== undefined) yield cell;
  }
}

async function upgradeUndisturbed(): Promise<void> {
  const current = (await scene.host.inspect('rancher-agent'))?.Config.Image;
  const result = await scene.upgrade(current === images.a ? images.b : images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.removeUpgradeContainer();
  await scene.settled();
}

it(
  `${upgrades} upgrades in a row, a random fault in every second one, leave nothing that grows (seed ${seed})`,
  async () => {
    const before = await takeStock();
    const weight = await weighAgent();
    const cells = randomCells();
    for (let count = 0; count < upgrades; count += 1) {
      const cell = count % 2 === 0 ? undefined : (cells.next() as { readonly value: RandomCell }).value;
      try {
        if (cell === undefined) await upgradeUndisturbed();
        else await runCell(byScript(scene), cell.phase, cell.fault, cell.ends);
      } catch (error) {
        const what = cell === undefined ? 'undisturbed' : `${cell.fault} at "${cell.phase}"`;
        throw new Error(`upgrade ${count + 1}, ${what}: ${String(error)}`, { cause: error });
      }
    }
    const after = await takeStock();
    const weightAfter = await weighAgent();
    console.log({ upgrades, before: { ...before, ...weight }, after: { ...after, ...weightAfter } });
    expect(after).toEqual(before);
    // What an agent needs at its start is collected within some seconds; what has grown stays.
    await expect.poll(async () => (await weighAgent()).kb, settling).toBeLessThan(weight.kb * 1.5);
    expect(weightAfter.files).toBeLessThan(weight.files + 10);
  },
  4 * 60 * 60_000,
);
