import { createInterface } from 'node:readline';
import { images, type Scene } from '../scenes/scene.ts';

/** The events of the containers, as the engine reports them; none is missed. */
export interface EngineEvents {
  /** `create rancher-agent-next` and the like, in order. */
  readonly seen: readonly string[];
  end(): void;
}

/** Listens to the engine until `end`. */
export async function watchEngine(scene: Scene): Promise<EngineEvents> {
  const seen: string[] = [];
  const child = scene.host.spawnDocker(
    ...['events', '--filter', 'type=container', '--format', '{{.Action}} {{.Actor.Attributes.name}}'],
  );
  if (child.stdout === null) throw new Error('docker events has no output');
  createInterface(child.stdout).on('line', (line) => seen.push(line));
  const watching = { seen, end: () => void child.kill() };
  // After the event of our own container has arrived, no later event is missed.
  await scene.waitFor('the stream of events', async () => {
    await scene.host.tryDocker('rm', '-f', 'witness');
    await scene.host.docker('create', '--name', 'witness', images.base, 'true');
    await scene.host.docker('rm', 'witness');
    return seen.includes('destroy witness') ? true : undefined;
  });
  return watching;
}
