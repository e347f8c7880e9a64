import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { startReplay, type Replay, type Sample, type Way } from '../../support/scenes/replay.ts';

/** Everything in proportion shorter than on the hosts of the incident; scripts/replay has the whole of it. */
const loaded = { delayMs: 400, pauseSeconds: 1 };
const LOOK_MS = 500;
/** Of these the worker watches the new bootstrap for 60 s before the parked agent goes. */
const LIMIT_SECONDS = 150;
/**
 * Looks in a row that find nothing to do. Between the upgrade's worker and one that settles there may be one as well.
 */
const QUIET_LOOKS = 12;

const replays: Replay[] = [];

afterEach(async () => {
  await Promise.all(replays.splice(0).map(async (replay) => replay.close()));
});

/** Looks at a host twice a second until `isEnough`. @throws after a minute, with the last look */
async function watch(
  way: Way,
  isEnough: (samples: readonly Sample[]) => boolean,
): Promise<{ readonly replay: Replay; readonly samples: readonly Sample[] }> {
  const replay = await startReplay({ way, ...loaded });
  replays.push(replay);
  const samples: Sample[] = [];
  for (;;) {
    const sample = await replay.sample();
    samples.push(sample);
    if (isEnough(samples)) return { replay, samples };
    if (sample.seconds > LIMIT_SECONDS)
      throw new Error(`${way}: not within ${LIMIT_SECONDS} s; in the end ${JSON.stringify(sample)}`);
    await sleep(LOOK_MS);
  }
}

/** The looks at the end of which each found the new agent and nothing else. */
function quietOf(samples: readonly Sample[]): readonly Sample[] {
  return samples.slice(samples.findLastIndex(({ converged }) => !converged) + 1);
}

describe('the incident, replayed: an upgrade on a loaded host that is killed and started again all the time', () => {
  it('the legacy entrypoint leaks one container per run and never finishes; this one leaks none, finishes, and then does nothing more', async () => {
    const [old, ours] = await Promise.all([
      watch('old', (samples) => (samples.at(-1)?.leaked ?? 0) >= 4),
      watch('ours', (samples) => quietOf(samples).length >= QUIET_LOOKS),
    ]);

    expect(old.samples.map(({ leaked }) => leaked)).toEqual(expect.arrayContaining([0, 1, 2, 3, 4]));
    expect(old.samples.every(({ converged }) => !converged)).toBe(true);

    expect(ours.samples.map(({ leaked }) => leaked)).toEqual(ours.samples.map(() => 0));
    const { requests } = ours.replay.scene.host.proxy;
    const created = requests
      .filter(
        ({ method, path, status }) => method === 'POST' && path === '/containers/create' && status === 201,
      )
      .map(({ query }) => query['name'] ?? '(generated)');
    const made = (name: string): number => created.filter((each) => each === name).length;
    expect(new Set(created)).toEqual(
      new Set(['rancher-agent-upgrade', 'rancher-agent-worker', 'rancher-agent-next']),
    );
    // The old agent's loop killed callers, or this shows nothing.
    expect(made('rancher-agent-upgrade')).toBeGreaterThan(1);
    expect(made('rancher-agent-next')).toBe(1);
    // The upgrade's, and perhaps one that settles what it left.
    expect(made('rancher-agent-worker')).toBeLessThan(4);
    expect(await ours.replay.scene.readStatus()).toMatchObject({ state: 'ok' });
    const quiet = quietOf(ours.samples);
    expect((quiet.at(-1)?.requests ?? 0) - (quiet[0]?.requests ?? 0)).toBeLessThan(10);
    expect(quiet[0]?.requests).toBeLessThan(200);
  }, 240_000);
});
