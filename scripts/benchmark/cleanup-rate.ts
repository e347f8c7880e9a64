/** How many leaked containers `cleanup` removes a second; `scripts/bench cleanup` has more of that. */
import type { Scene } from '../../test/support/scenes/scene.ts';
import { oldImage } from '../../test/support/scenes/leaky-host.ts';
import { titles } from './cleanup-page.ts';
import { timeRounds } from './cleanup-rounds.ts';
import { leastRatios } from './cleanup.ts';
import { clearHost } from './bench-scene.ts';
import { figureOf, type Figure } from './figure.ts';

const SIZE = 2_000;
/** Many: with this disk the same command differs by a fifth from one run to the next. */
const ROUNDS = 11;

export async function measureCleanupRate(scene: Scene, size = SIZE): Promise<readonly Figure[]> {
  await clearHost(scene);
  await scene.host.docker('tag', 'agent-test-base', oldImage);
  const rounds = await timeRounds(scene.host, size, ROUNDS, ['cleanup', 'prune', 'xargs']);
  const ours = rounds.map(({ cleanup }) => cleanup.rate);
  return (['prune', 'xargs'] as const).map((tool) =>
    figureOf(
      'cleanup',
      `of ${size} leaked ones, while removing, beside \`${titles[tool]}\``,
      'a second',
      { ours, reference: rounds.map((round) => round[tool].rate) },
      { kind: 'ratio-at-least', value: leastRatios[tool] },
    ),
  );
}
