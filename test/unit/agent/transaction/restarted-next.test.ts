import { describe, expect, it } from 'vitest';
import type { Call } from '../../fakes/simulated-engine.ts';
import { actor, emptyScene, names } from '../../fakes/transaction-scene.ts';
import { World } from '../../fakes/transaction-world.ts';

/** What somebody does to the next agent, or to the old one, between the steps of an upgrade. */
describe('an upgrade to an image that proves its readiness', () => {
  const scene = { ...emptyScene, agent: actor('managed', 'running'), proof: 'ready' } as const;

  it('lets a next agent prove it again that was restarted after its proof', async () => {
    const world = new World(scene);
    const { host } = world;
    let isRestarted = false;
    const run = await world.run({
      faultOf: ({ verb, id }: Call) => {
        const next = world.managed().find(({ name }) => name === names.next);
        // The first look after the proof, which takes two seconds.
        const isProven = next !== undefined && host.clock.now() - (next.startedAt ?? Infinity) >= 2_000;
        if (verb === 'inspect' && id === next?.id && isProven && !isRestarted) {
          isRestarted = true;
          host.stop(next.id);
          host.start(next.id);
        }
        return undefined;
      },
    });
    expect(isRestarted).toBe(true);
    expect(run.result).toMatchObject({ reached: true, error: undefined });
    expect(run.steps.filter((step) => step === 'ready')).toHaveLength(2);
    expect(world.violations).toEqual([]);
  });

  it('says that the old agent was started again, if somebody stopped it meanwhile', async () => {
    const world = new World({ ...scene, proof: 'refused' });
    let isStopped = false;
    const run = await world.run({
      faultOf: () => {
        const agent = world.agent();
        const next = world.managed().find(({ name }) => name === names.next);
        if (next?.startedAt !== undefined && agent !== undefined && !isStopped) {
          isStopped = true;
          world.host.stop(agent.id);
        }
        return undefined;
      },
    });
    expect(isStopped).toBe(true);
    expect(run.result).toMatchObject({
      reached: false,
      agentRuns: true,
      touchedAgent: false,
      restartedAgent: true,
      isIncumbent: true,
    });
  });

  it('says nothing of the kind, if nobody did', async () => {
    const run = await new World({ ...scene, proof: 'refused' }).run();
    expect(run.result).toMatchObject({ reached: false, agentRuns: true, touchedAgent: false });
    expect(run.result?.restartedAgent).toBeUndefined();
  });
});
