import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { cellOf, phases, type Fault, type Phase } from './fault-table.ts';
import type { StartOptions } from '../host/host.ts';
import { runCell } from './matrix.ts';
import { startPullScene } from '../scenes/pull-scene.ts';
import { images, startScene } from '../scenes/scene.ts';
import { byAgent, byScript, hastyAgent, type Way } from './upgrade-way.ts';

/** A host for some cells, and how it is upgraded there. */
interface Stage {
  readonly way: Way;
  /** The image that the host is registered with. */
  readonly first: string;
  close(): Promise<void>;
}

/** `scripts/long/fault-matrix --api` has every cell on an engine of that API version. */
const everywhere = process.env['MATRIX_API'];

/** The phases of an upgrade to an image that is on the host. */
export const unpulled = phases.filter((phase) => phase !== 'pull');

/** Defines a test for each possible cell in the rows of these faults, except those of "pull". */
export function defineMatrix(
  name: string,
  rows: readonly Fault[],
  columns: readonly Phase[] = unpulled,
): void {
  const cells = rows.flatMap((fault) => columns.map((phase) => ({ phase, fault })));
  defineCells(cells, everywhere, async (api) => startScriptStage({ name, ...diskFor(rows), ...api }));
}

/** Defines a test for each of these faults that is possible at "pull". */
export function definePullMatrix(name: string, rows: readonly Fault[]): void {
  const cells = rows.map((fault) => ({ phase: 'pull', fault }) as const);
  defineCells(cells, everywhere, async (api) => {
    const pulling = await startPullScene({ name, ...diskFor(rows), ...api }, hastyAgent);
    return { way: byAgent(pulling), first: pulling.images[0], close: async () => pulling.close() };
  });
}

/** Defines a test for each of these cells on an engine of that API version. */
export function definePinnedSample(
  name: string,
  version: string,
  sample: Partial<Record<Fault, readonly Phase[]>>,
): void {
  const cells = Object.entries(sample).flatMap(([fault, columns]) =>
    columns.map((phase) => ({ phase, fault: fault as Fault })),
  );
  defineCells(cells, version, async (api) => startScriptStage({ name, ...api }));
}

async function startScriptStage(options: StartOptions): Promise<Stage> {
  const scene = await startScene(options);
  return { way: byScript(scene), first: images.a, close: async () => scene.close() };
}

/** The disk is small only where a test fills it. */
function diskFor(rows: readonly Fault[]): Pick<StartOptions, 'smallDisk'> {
  return rows.includes('no space') ? { smallDisk: { mib: 400, inodes: 4_000 } } : {};
}

/** The host stays registered from cell to cell. @param version of the API that the engine speaks; undefined: its own */
function defineCells(
  cells: readonly { readonly phase: Phase; readonly fault: Fault }[],
  version: string | undefined,
  start: (api: Pick<StartOptions, 'api'>) => Promise<Stage>,
): void {
  let stage: Stage;
  let isSound = false;

  beforeAll(async () => {
    stage = await start(version === undefined ? {} : { api: version });
  });
  beforeEach(async () => {
    const isFromCellToCell = isSound;
    isSound = false;
    if (isFromCellToCell) return;
    await register(stage);
  });
  afterAll(async () => stage.close());

  for (const { phase, fault } of cells) {
    const cell = cellOf(phase, fault);
    if (!('ends' in cell)) continue;
    const where = version === undefined ? '' : ` (API ${version})`;
    it(`${fault} at "${phase}"${where}: ${cell.ends}, and the next start reaches the target`, async () => {
      await runCell(stage.way, phase, fault, cell.ends);
      isSound = true;
    });
  }
}

async function register({ way: { scene, registry }, first }: Stage): Promise<void> {
  await scene.reset();
  await registry?.reset();
  scene.server.setRequiredImage(first);
  const result = await scene.register(first);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
}
