import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { buildMs, requiredName } from '../../support/images/readiness-images.ts';
import { startReadinessStage, type ReadinessStageHost } from '../../support/scenes/readiness-stage.ts';

/* What a server answers in the phase `ready`, where it is not always the same: one bad answer is no proof against an image. */
let stage: ReadinessStageHost;

beforeAll(async () => {
  stage = await startReadinessStage({ name: 'readiness-answers' });
}, buildMs);
afterEach(async () => stage.reset());
afterAll(async () => stage.close());

const testMs = 120_000;

describe('answers that are not always the same', () => {
  it(
    'a script that is cut off for a moment is no failure',
    async () => {
      const { scene } = stage;
      await stage.startHardened();
      await stage.provide('trusting');
      scene.server.setRequiredImage(requiredName);
      stage.whenNextStarts(async () => {
        scene.server.behaviour.bootstrap = 'truncated';
        setTimeout(() => {
          scene.server.behaviour.bootstrap = 'ok';
        }, 3_000);
        return Promise.resolve();
      });
      await stage.expectUpgraded(await scene.upgrade(requiredName));
    },
    testMs,
  );

  it(
    'a script that is cut off for the old agent as well is deferred',
    async () => {
      const { scene } = stage;
      const old = await stage.startHardened();
      await stage.provide('trusting');
      stage.whenNextStarts(async () => {
        scene.server.behaviour.bootstrap = 'truncated';
        return Promise.resolve();
      });
      const result = await scene.upgrade(requiredName);
      expect(result.status, result.stderr).toBe(75);
      expect(await scene.readStatus()).toMatchObject({ state: 'deferred', cause: 'ready-script-not-whole' });
      await scene.removeUpgradeContainer();
      await scene.settled();
      await stage.expectUntouched(old);
    },
    testMs,
  );

  it.each(['hardened', 'legacy'] as const)(
    'a load balancer whose every second server sends a page: deferred, from a %s agent',
    async (kind) => {
      const { scene } = stage;
      const old = kind === 'hardened' ? await stage.startHardened() : await stage.startLegacy();
      await stage.provide('trusting');
      stage.whenNextStarts(async () => {
        for (let turn = 0; turn < 500; turn += 1)
          scene.server.fault('bootstrap', 'html200', { times: 1, after: 1 });
        return Promise.resolve();
      });
      const result = await scene.upgrade(requiredName);
      // The next agent may have had luck three times in a row; it is never refused.
      expect([0, 75], result.stderr).toContain(result.status);
      if (result.status === 0) return;
      expect((await scene.readStatus())['state']).toBe('deferred');
      await scene.removeUpgradeContainer();
      await stage.expectSameStart(old);
    },
    testMs,
  );
});
