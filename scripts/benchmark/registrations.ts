/** How long a registration takes until the agent is started, and until the command exits. */
import type { Scene } from '../../test/support/scenes/scene.ts';
import { clearHost, imagesOf, timeDocker, ways, withEvents, type Way } from './bench-scene.ts';
import { figureOf, type Figure } from './figure.ts';
import { registration } from './upgrades.ts';

const ROUNDS = 5;
const subject = 'register';

export async function measureRegistrations(scene: Scene, rounds = ROUNDS): Promise<readonly Figure[]> {
  const started: Record<Way, number[]> = { ours: [], reference: [] };
  const command: Record<Way, number[]> = { ours: [], reference: [] };
  for (let round = 0; round <= rounds; round += 1) {
    for (const way of ways) {
      const times = await registerOnce(scene, way);
      if (round === 0) continue;
      started[way].push(times.started);
      command[way].push(times.command);
    }
  }
  await clearHost(scene);
  return [
    figureOf(subject, 'until the agent is started', 'ms', started, { kind: 'ratio-at-most', value: 1.1 }),
    figureOf(subject, 'until the command exits', 'ms', command),
  ];
}

async function registerOnce(scene: Scene, way: Way): Promise<{ started: number; command: number }> {
  await clearHost(scene);
  const begun = Date.now();
  const { result, events } = await withEvents(scene, async () =>
    timeDocker(scene, ...registration(scene, way, imagesOf[way][0])),
  );
  const agent = (await scene.host.inspect('rancher-agent'))?.Id;
  const start = events.find(({ action, id }) => action === 'start' && id === agent);
  if (start === undefined) throw new Error('the engine tells of no start of an agent');
  return { started: start.at - begun, command: result.ms };
}
