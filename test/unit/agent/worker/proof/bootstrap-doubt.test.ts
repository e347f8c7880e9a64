import { beforeEach, describe, expect, it } from 'vitest';
import { BootstrapFailsError, DownloadFailsError } from '../../../../../src/agent/transaction/not-ready.ts';
import { judgeDownload } from '../../../../../src/agent/worker/proof/download.ts';
import { type StubServer } from '../../../../support/server/stub/stub-server.ts';
import { hardened, lastExit } from '../../../fakes/worker-scene.ts';
import { scene, server } from './proof-stage.ts';
import { agent, park, stageActiveAgent, watch } from './watch-stage.ts';

/* What is no proof, and what is no fault of an image, while the bootstrap of a promoted agent is watched. */

stageActiveAgent();
beforeEach(() => {
  park(hardened);
});

describe('a bootstrap that holds no connection', () => {
  const began = () => scene.clock.elapsed();

  it('is not proven by its time alone: the worker waits until it connects', async () => {
    const bootstrap = { runningSinceElapsed: began() } as const;
    await scene.writeServing(agent, { bootstrap: { ...bootstrap, connection: 'none' } });
    for (let ms = 5_000; ms <= 100_000; ms += 5_000) {
      const connection = ms < 90_000 ? 'none' : 'open';
      scene.clock.after(ms, async () =>
        scene.keepServing(agent, { bootstrap: { ...bootstrap, connection } }),
      );
    }
    const from = began();
    expect(await watch()).toEqual({ serving: { kind: 'serves' }, parked: 'proven' });
    expect(scene.clock.elapsed() - from).toBe(90_000);
  });

  it.each([
    ['the new agent stays, and nothing is rolled back', false, 'proven'],
    ['the parked agent stays as well where no agent ran before', true, 'keep-parked'],
  ])('as long as the agent waits for one: %s', async (_what, isRescue, parked) => {
    const message = 'its bootstrap has run for 3 min and has not connected to the server';
    const bootstrap = { runningSinceElapsed: began(), connection: 'none' } as const;
    await scene.writeServing(agent, { bootstrap });
    scene.clock.after(180_000, async () =>
      scene.keepServing(agent, { serving: 'unknown', cause: 'agent-not-connected', message, bootstrap }),
    );
    expect(await watch({ isRescue })).toEqual({
      serving: { kind: 'unknown', cause: 'agent-not-connected', message },
      parked,
    });
  });
});

describe('three failures in a row', () => {
  beforeEach(async () => {
    await scene.writeServing(agent, {
      cause: 'bootstrap-fails',
      bootstrap: { failuresInARow: 3, lastExit: lastExit({ status: 1, ms: 900 }) },
    });
  });

  it.each<[string, Parameters<StubServer['fault']>[1], number | undefined]>([
    ['fails', { status: 503 }, undefined],
    ['fails every other time', { status: 502, body: 'html' }, 1],
    ['is a web page', 'html200', undefined],
    ['breaks off', 'reset', undefined],
    ['asks for another user', { status: 403 }, undefined],
  ])(
    'are held against no image when the download %s for the parked agent as well',
    async (_what, fault, times) => {
      server.fault('config-content', fault, times === undefined ? {} : { times, after: 1 });
      const error = await watch().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(DownloadFailsError);
      expect(error).toMatchObject({ code: 'download-fails', exitCode: 75 });
      expect((error as Error).message).toMatch(/3 times in a row.*; its download fails for the parked agent/);
    },
  );

  it('are held against the image while the server sends the parked agent its parts', async () => {
    await expect(watch()).rejects.toThrow(BootstrapFailsError);
    expect(server.requestsTo('config-content').length).toBeGreaterThanOrEqual(3);
  });
});

describe('a download', () => {
  it.each([
    ['an archive', 200, '\u001f\ufffd\b', true],
    ['an item that the server does not know', 404, '{"type":"error","status":404,"code":"Not Found"}', true],
    ['a page with that status', 404, '<html></html>', false],
    ['a page', 200, '<html></html>', false],
    ['nothing', 200, '', false],
    ['an error', 500, '{"type":"error","status":500,"code":"Internal Server Error"}', false],
    ['a redirection', 302, '', false],
  ])('of %s, status %i', (_what, status, text, isSound) => {
    expect(judgeDownload({ status, text, headers: {} }) === undefined).toBe(isSound);
  });
});
