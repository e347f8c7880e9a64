import type { Engine } from '../../engine/engine.ts';
import type { Profile } from './profile.ts';

/** The state volume in use: the first of the profile's names that exists, else the first (contract §1). */
export async function chooseStateVolume(engine: Engine, profile: Profile): Promise<string> {
  const [first = 'rancher-agent-state', ...others] = profile.stateVolumes;
  if (others.length === 0 || (await engine.hasVolume(first))) return first;
  for (const volume of others) {
    if (await engine.hasVolume(volume)) return volume;
  }
  return first;
}
