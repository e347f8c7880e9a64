import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cellOf, phases, type Fault } from './fault-table.ts';
import { runCell } from './matrix.ts';
import { images, startScene, type Scene } from './scene.ts';

/** A test for each cell of these faults' rows that makes sense, on one host that stays registered from cell to cell. */
export function defineMatrix(hostName: string, faults: readonly Fault[]): void {
  let scene: Scene;
  let isSound = false;

  beforeAll(async () => {
    const isSmall = faults.includes('no space');
    scene = await startScene({
      name: hostName,
      ...(isSmall ? { smallDisk: { mib: 400, inodes: 4_000 } } : {}),
    });
  });
  beforeEach(async () => {
    const isFromCellToCell = isSound;
    isSound = false;
    if (isFromCellToCell) return;
    await scene.reset();
    const result = await scene.register(images.a);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.settled();
  });
  afterAll(async () => scene.close());

  describe.each(faults)('%s', (fault) => {
    for (const phase of phases) {
      const cell = cellOf(phase, fault);
      if ('ends' in cell) {
        it(`at "${phase}": ${cell.ends}, and the next start reaches the target`, async () => {
          await runCell(scene, phase, fault, cell.ends);
          isSound = true;
        });
      }
    }
  });
}
