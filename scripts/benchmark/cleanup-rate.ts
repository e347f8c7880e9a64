/** How many leaked containers `cleanup` removes a second; `scripts/bench cleanup` has more of that. */
import type { Scene } from '../../test/support/scenes/scene.ts';
import { oldImage } from '../../test/support/scenes/leaky-host.ts';
import { leastRatio } from './cleanup.ts';
import { timeRounds } from './cleanup-rounds.ts';
import { clearHost } from './bench-scene.ts';
import { figureOf, type Figure } from './figure.ts';

const SIZE = 2_000;
/** Many: the disk makes one and the same command differ by a fifth from one to the next. */
const ROUNDS = 11;

export async function measureCleanupRate(scene: Scene, size = SIZE): Promise<readonly Figure[]> {
  await clearHost(scene);
  await scene.host.docker('tag', 'agent-test-base', oldImage);
  const rounds = await timeRounds(scene.host, size, ROUNDS, ['cleanup', 'xargs']);
  return [
    figureOf(
      'cleanup',
      `of ${size} leaked ones, while removing, beside \`xargs -P4 docker rm\``,
      'a second',
      { ours: rounds.map(({ cleanup }) => cleanup.rate), reference: rounds.map(({ xargs }) => xargs.rate) },
      { kind: 'ratio-at-least', value: leastRatio },
    ),
  ];
}
