import { describe, expect, it } from 'vitest';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import type { Call } from '../../fakes/simulated-engine.ts';
import { actor, emptyScene, names } from '../../fakes/transaction-scene.ts';
import { World, type Run } from '../../fakes/transaction-world.ts';

/**
 * Found in the fault matrix under load: `docker restart rancher-agent` right after a promotion. The new agent exits with
 * status 1, as every agent does that gets a SIGTERM, and for a moment has no process.
 */
describe('a new agent that somebody restarts while it is watched', () => {
  /**
   * The agent is stopped when the worker looks at it for the n-th time after its promotion, and started again later.
   * @param gapMs for so long it has no process; undefined: it stays stopped
   */
  async function upgrade(look: number, gapMs: number | undefined, times = 1): Promise<[World, Run]> {
    const world = new World({ ...emptyScene, agent: actor('managed', 'running') });
    const { host } = world;
    let looks = 0;
    let restarts = 0;
    let startsAt: number | undefined;
    const strike = ({ verb, id }: Call): undefined => {
      const agent = world.agent();
      if (agent === undefined || !world.isWanted(agent)) return;
      if (startsAt !== undefined && host.clock.now() >= startsAt) {
        host.start(agent.id);
        startsAt = undefined;
      }
      if (verb !== 'inspect' || id !== agent.id || startsAt !== undefined) return;
      looks += 1;
      if (looks < look || restarts >= times) return;
      restarts += 1;
      looks = 0;
      host.stop(agent.id);
      startsAt = gapMs === undefined ? Number.POSITIVE_INFINITY : host.clock.now() + gapMs;
    };
    return [world, await world.run({ faultOf: strike })];
  }

  const gaps = [200, 1_000, 5_000];
  it.each([1, 2, 3, 4].flatMap((look) => gaps.map((gap) => [look, gap] as const)))(
    'at look %i, for %i ms, stays, and is watched again from then on',
    async (look, gap) => {
      const [world, run] = await upgrade(look, gap);
      expect(run.result).toMatchObject({ reached: true, error: undefined });
      expect(world.picture()).toBe(`${names.agent}=${world.wanted.reference}/running/always`);
      expect(world.host.clock.now() - (world.agent()?.startedAt ?? 0)).toBeGreaterThanOrEqual(
        defaultLimits.VERIFY,
      );
    },
  );

  it('a new agent that is restarted and does not come back is rolled back', async () => {
    const [world, run] = await upgrade(2, undefined);
    expect(run.result).toMatchObject({ reached: false, agentRuns: true });
    expect(world.agent()?.image.reference).not.toBe(world.wanted.reference);
  });

  it('a new agent that is restarted again and again is not watched for ever', async () => {
    const [world, run] = await upgrade(2, 200, 1_000);
    expect(run.result).toMatchObject({ reached: false, agentRuns: true });
    expect(world.agent()?.image.reference).not.toBe(world.wanted.reference);
  });
});
