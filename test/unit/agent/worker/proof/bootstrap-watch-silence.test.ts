import { describe, expect, it } from 'vitest';
import { BootstrapFailsError, NotReadyError } from '../../../../../src/agent/transaction/not-ready.ts';
import { servingUnknown } from '../../../../../src/agent/run/serving/causes.ts';
import { servingFile } from '../../../../../src/agent/run/serving/record.ts';
import { EngineError } from '../../../../../src/engine/errors.ts';
import { EngineUnavailableError } from '../../../../../src/support/errors.ts';
import { hardened, startedAt, type ServingParts } from '../../../fakes/worker-scene.ts';
import { scene, timed } from './proof-stage.ts';
import { agent, endOf, park, proven, stageActiveAgent, watch } from './watch-stage.ts';

stageActiveAgent();

describe('an agent whose event loop hangs', () => {
  async function hangAfter(ms: number): Promise<void> {
    await scene.keepServing(agent, {
      serving: 'yes',
      bootstrap: { runningSinceElapsed: scene.clock.elapsed() },
    });
    scene.clock.after(ms, () => {
      scene.hang();
    });
  }

  it.each([0, 5_000, 49_000])(
    'after %i ms of its bootstrap proves nothing by time alone, and the parked agent stays',
    async (ms) => {
      park(hardened);
      await hangAfter(ms);
      expect(await watch()).toMatchObject({
        serving: {
          kind: 'unknown',
          cause: servingUnknown,
          message: expect.stringContaining('has given no life sign for') as string,
        },
        parked: 'keep-parked',
      });
    },
  );

  it('with nobody to roll back to is not called serving either', async () => {
    await hangAfter(0);
    expect((await watch()).serving.kind).toBe('unknown');
  });

  it('and has no heartbeat at all is proven by its record alone', async () => {
    park(hardened);
    const begun = scene.clock.elapsed();
    await scene.writeServing(agent, { bootstrap: { runningSinceElapsed: begun } });
    scene.clock.after(62_000, async () =>
      scene.writeServing(agent, { bootstrap: { runningSinceElapsed: begun } }),
    );
    expect(await timed(async () => expect(await watch()).toEqual(proven))).toBe(62_000);
  });

  it('is given up when three refreshes are missed, and not only at the end of the watch', async () => {
    park(hardened);
    await hangAfter(0);
    expect(await timed(watch)).toBe(180_000);
  });

  it('and continues is proven by what it writes then', async () => {
    park(hardened);
    const begun = scene.clock.elapsed();
    await hangAfter(5_000);
    scene.clock.after(100_000, async () =>
      scene.keepServing(agent, { bootstrap: { runningSinceElapsed: begun } }),
    );
    expect(await timed(async () => expect(await watch()).toEqual(proven))).toBe(100_000);
  });

  it('after it had run for 60 s is proven: that it hangs later is for the health check', async () => {
    park(hardened);
    await hangAfter(65_001);
    expect(await watch()).toEqual(proven);
  });
});

describe('a record is not believed', () => {
  it.each<[string, NonNullable<ServingParts['forged']>]>([
    ['of another container', { container: 'f'.repeat(64) }],
    ['of another start', { startedAt: startedAt - 1 }],
  ])('%s', async (_what, forged) => {
    park(hardened);
    const bootstrap = { runs: 1, good: 0, failuresInARow: 0, runningSinceElapsed: 0 };
    await scene.writeServing(agent, { forged: { ...forged, bootstrap } });
    expect((await watch()).serving.kind).toBe('unknown');
  });

  it.each(['{"version":1', '{"version":2}', 'x'.repeat(70_000)])('%.20s', async (text) => {
    await scene.writeIn(agent, servingFile, text);
    expect((await watch()).serving.kind).toBe('unknown');
  });
});

describe('an agent that does not stay up', () => {
  it.each([
    ['restarts', { state: 'restarting', restartCount: 1 }],
    ['has been restarted', { restartCount: 1 }],
    ['has exited, and has no policy that starts it', { state: 'exited', restartPolicy: 'no' }],
    ['is dead', { state: 'dead' }],
  ] as const)('because it %s is not ready', async (_what, parts) => {
    park(hardened);
    scene.clock.after(3_000, () => {
      scene.change(agent.id, parts);
    });
    const error = await endOf();
    expect(error).toBeInstanceOf(NotReadyError);
    expect(error).toMatchObject({ code: 'agent-does-not-run' });
    expect(error).not.toBeInstanceOf(BootstrapFailsError);
  });

  it('because it is gone is not ready', async () => {
    scene.clock.after(3_000, () => {
      scene.containers.delete(agent.id);
    });
    expect(await endOf()).toMatchObject({
      code: 'agent-does-not-run',
      originalMessage: 'state gone',
    });
  });
});

describe('docker restart in the middle of the watch', () => {
  async function restartWithin(gapMs: number): Promise<void> {
    park(hardened);
    await scene.keepServing(agent, { bootstrap: { runningSinceElapsed: scene.clock.elapsed() } });
    scene.clock.after(5_000, () => {
      scene.change(agent.id, { state: 'exited', pid: 0, exitCode: 143 });
    });
    scene.clock.after(5_000 + gapMs, async () => {
      const pid = agent.pid === undefined ? 1 : agent.pid + 50;
      const again = { ...agent, pid, startedAt: startedAt + 1 };
      scene.change(agent.id, again);
      await scene.keepServing(again, { bootstrap: { runningSinceElapsed: scene.clock.elapsed() } });
    });
  }

  it('is withstood, and the bootstrap is watched again', async () => {
    await restartWithin(8_000);
    expect(await timed(async () => expect(await watch()).toEqual(proven))).toBe(73_000);
  });

  it('is withstood twice: each gap has its own time', async () => {
    await restartWithin(8_000);
    scene.clock.after(15_000, () => {
      scene.change(agent.id, { state: 'exited', pid: 0 });
    });
    scene.clock.after(23_000, () => {
      scene.change(agent.id, { state: 'running', pid: (agent.pid ?? 0) + 50 });
    });
    expect(await watch()).toEqual(proven);
  });

  it('proves nothing while it lasts, even when the 60 s of the bootstrap before it are over', async () => {
    park(hardened);
    await scene.keepServing(agent, { bootstrap: { runningSinceElapsed: scene.clock.elapsed() - 50_000 } });
    scene.clock.after(5_000, () => {
      scene.change(agent.id, { state: 'exited', pid: 0, exitCode: 143 });
    });
    expect(await endOf()).toMatchObject({ code: 'agent-does-not-run' });
  });

  it('is not withstood for longer than RESTART_GAP', async () => {
    await restartWithin(60_000);
    const ms = await timed(async () => {
      expect(await endOf()).toMatchObject({
        code: 'agent-does-not-run',
        originalMessage: 'state exited, exit status 143',
      });
    });
    expect(ms).toBe(15_000);
  });
});

describe('an engine that does not answer meanwhile', () => {
  it.each([
    ['is away', () => new EngineUnavailableError('no answer')],
    ['answers with 500', () => new EngineError('inspect', 500, 'devmapper: busy')],
  ])('and %s decides nothing', async (_what, make) => {
    park(hardened);
    await scene.keepServing(agent, { bootstrap: { runningSinceElapsed: scene.clock.elapsed() } });
    scene.clock.after(5_000, () => {
      scene.onInspect = () => {
        throw make();
      };
    });
    scene.clock.after(45_000, () => {
      scene.onInspect = () => undefined;
    });
    expect(await timed(async () => expect(await watch()).toEqual(proven))).toBe(60_000);
    expect(scene.lines.join('')).toContain('the engine does not answer while the bootstrap is watched');
  });

  it('for all the time: what was known last is said, and nothing is rolled back', async () => {
    park(hardened);
    await scene.keepServing(agent, { cause: 'server-unreachable', message: 'no answer' });
    scene.clock.after(5_000, () => {
      scene.onInspect = () => {
        throw new EngineUnavailableError('no answer');
      };
    });
    const ms = await timed(async () => {
      expect(await watch()).toMatchObject({ serving: { cause: 'server-unreachable' }, parked: 'proven' });
    });
    expect(ms).toBe(300_000);
  });

  it('for the rest of the 60 s proves nothing: an agent that nobody sees may have ended', async () => {
    park(hardened);
    await scene.keepServing(agent, { bootstrap: { runningSinceElapsed: scene.clock.elapsed() } });
    scene.clock.after(5_000, () => {
      scene.onInspect = () => {
        throw new EngineUnavailableError('no answer');
      };
    });
    scene.clock.after(100_000, () => {
      scene.onInspect = () => undefined;
      scene.change(agent.id, { state: 'restarting', restartCount: 4 });
    });
    expect(await endOf()).toMatchObject({ code: 'agent-does-not-run' });
  });

  it('any other error ends the watch', async () => {
    scene.clock.after(5_000, () => {
      scene.onInspect = () => {
        throw new TypeError('a defect');
      };
    });
    expect(await endOf()).toBeInstanceOf(TypeError);
  });
});
