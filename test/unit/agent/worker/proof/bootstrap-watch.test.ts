import { describe, expect, it } from 'vitest';
import { BootstrapFailsError } from '../../../../../src/agent/transaction/not-ready.ts';
import { keysRevoked, servingUnknown, starting } from '../../../../../src/agent/run/serving/causes.ts';
import { readServing } from '../../../../../src/agent/worker/proof/bootstrap-watch.ts';
import { EngineUnavailableError, InterruptedError } from '../../../../../src/support/errors.ts';
import { hardened, lastExit, legacy } from '../../../fakes/worker-scene.ts';
import { scene, server, timed } from './proof-stage.ts';
import { agent, endOf, park, proven, stageActiveAgent, watch } from './watch-stage.ts';

stageActiveAgent();

async function failThrice(): Promise<void> {
  await scene.writeServing(agent, {
    cause: 'bootstrap-fails',
    bootstrap: { failuresInARow: 3, lastExit: lastExit({ status: 127, ms: 900 }) },
  });
}

describe('a bootstrap is proven', () => {
  it('when it has run for 60 s, with an agent to roll back to', async () => {
    park(hardened);
    await scene.keepServing(agent, { bootstrap: { runningSinceElapsed: scene.clock.elapsed() } });
    expect(await timed(async () => expect(await watch()).toEqual(proven))).toBe(60_000);
    expect(scene.told).toEqual(['rancher-agent is active; watching its bootstrap']);
  });

  it('when it has run for VERIFY, with nobody to roll back to', async () => {
    await scene.keepServing(agent, { bootstrap: { runningSinceElapsed: scene.clock.elapsed() } });
    expect(await timed(async () => expect(await watch()).toEqual(proven))).toBe(10_000);
  });

  it('when it has exited with 0: the server closed the websocket', async () => {
    park(legacy);
    scene.clock.after(5_000, async () =>
      scene.writeServing(agent, { bootstrap: { lastExit: lastExit({ status: 0, byDesign: true }) } }),
    );
    expect(await timed(async () => expect(await watch()).toEqual(proven))).toBe(5_000);
  });

  it('when it runs at last after two failures', async () => {
    park(hardened);
    await scene.writeServing(agent, { bootstrap: { failuresInARow: 2, lastExit: lastExit() } });
    scene.clock.after(20_000, async () =>
      scene.keepServing(agent, {
        bootstrap: { failuresInARow: 2, runningSinceElapsed: scene.clock.elapsed(), lastExit: lastExit() },
      }),
    );
    expect(await timed(async () => expect(await watch()).toEqual(proven))).toBe(80_000);
  });
});

describe('three failures in a row', () => {
  it('bring a hardened agent back', async () => {
    park(hardened);
    await failThrice();
    const error = await endOf();
    expect(error).toBeInstanceOf(BootstrapFailsError);
    expect(error).toMatchObject({
      code: 'bootstrap-fails',
      exitCode: 73,
      message:
        "the server's bootstrap script failed 3 times in a row, the last time with status 127 after 900 ms",
    });
  });

  it('bring a legacy agent back while the server requires its image', async () => {
    server.setRequiredImage('rancher/agent:v1.2.11');
    park(legacy);
    await failThrice();
    expect(await endOf()).toBeInstanceOf(BootstrapFailsError);
  });

  it.each<[string, () => void]>([
    [
      'the server requires another image',
      () => {
        server.setRequiredImage('rancher/agent:wanted');
      },
    ],
    [
      'it is not known what the server requires',
      () => {
        server.fault('any', { status: 503 });
      },
    ],
  ])('do not bring a legacy agent back when %s: it would not work either', async (_why, prepare) => {
    prepare();
    park(legacy);
    await failThrice();
    expect(await watch()).toMatchObject({
      serving: { kind: 'not-serving', cause: 'bootstrap-fails' },
      parked: 'proven',
    });
  });

  it('bring nobody back where nobody is parked', async () => {
    await failThrice();
    expect(await watch()).toMatchObject({ serving: { kind: 'not-serving', cause: 'bootstrap-fails' } });
  });

  it('bring nobody back whose removal has begun', async () => {
    park(hardened);
    const [, parked] = [...scene.containers.values()];
    scene.change(parked?.id ?? '', { restartPolicy: 'no' });
    await failThrice();
    expect(await watch()).toMatchObject({ serving: { kind: 'not-serving', cause: 'bootstrap-fails' } });
  });
});

describe('without a decision', () => {
  it.each([
    [false, 'proven'],
    [true, 'keep-parked'],
  ])('within BOOTSTRAP_WATCH_TOTAL (rescue: %s) the parked agent is %s', async (isRescue, parked) => {
    park(hardened);
    await scene.keepServing(agent, { cause: 'server-unreachable', message: 'no answer' });
    const ms = await timed(async () => {
      expect(await watch({ isRescue })).toEqual({
        serving: { kind: 'not-serving', cause: 'server-unreachable', message: 'no answer' },
        parked,
      });
    });
    expect(ms).toBe(300_000);
  });

  it.each([
    [false, 'proven'],
    [true, 'keep-parked'],
  ])(
    'because the keys are revoked (rescue: %s) there is no rollback, and the parked one is %s',
    async (isRescue, parked) => {
      park(hardened);
      await scene.writeServing(agent, { cause: keysRevoked, message: 'status 401' });
      const ms = await timed(async () => {
        expect(await watch({ isRescue })).toEqual({
          serving: { kind: 'not-serving', cause: keysRevoked, message: 'status 401' },
          parked,
        });
      });
      expect(ms).toBe(0);
    },
  );

  it('one that still starts after all the time is not called serving', async () => {
    park(hardened);
    await scene.keepServing(agent, {
      ...{ serving: 'unknown', cause: starting, message: 'its bootstrap has not run long enough yet' },
      lastAnswerAt: new Date(0).toISOString(),
    });
    expect((await watch()).serving).toMatchObject({ kind: 'unknown', cause: servingUnknown });
  });

  it('because the script took the place of the agent’s process, it is not called serving', async () => {
    park(hardened);
    await scene.writeServing(agent, {
      serving: 'unknown',
      cause: servingUnknown,
      message: 'CATTLE_EXEC_AGENT',
    });
    expect(await watch()).toMatchObject({ serving: { kind: 'unknown', cause: servingUnknown } });
  });

  it('an agent that says nothing for all the time is not called serving', async () => {
    park(hardened);
    expect(await timed(async () => expect((await watch()).serving.kind).toBe('unknown'))).toBe(300_000);
  });

  it('one that was promoted although a check had failed is judged by its first word', async () => {
    park(hardened);
    await scene.keepServing(agent, { cause: 'server-unreachable', message: 'no answer' });
    const ms = await timed(async () => {
      expect(await watch({ wasReady: false })).toMatchObject({ serving: { cause: 'server-unreachable' } });
    });
    expect(ms).toBe(0);
  });

  it('a worker that is told to stop stops', async () => {
    const reason = new InterruptedError('SIGTERM');
    scene.clock.after(7_000, () => {
      scene.stop.abort(reason);
    });
    expect(await endOf()).toBe(reason);
  });
});

describe('what an agent says of itself now', () => {
  it('is read once', async () => {
    await scene.writeServing(agent, { serving: 'yes' });
    expect(await readServing(scene.work, await scene.observed('rancher-agent'))).toMatchObject({
      serving: 'yes',
    });
  });

  it('is nothing where it does not run, or the engine does not answer', async () => {
    const observed = await scene.observed('rancher-agent');
    scene.change(agent.id, { state: 'restarting' });
    expect(await readServing(scene.work, observed)).toBeUndefined();
    scene.onInspect = () => {
      throw new EngineUnavailableError('no answer');
    };
    expect(await readServing(scene.work, observed)).toBeUndefined();
  });
});
