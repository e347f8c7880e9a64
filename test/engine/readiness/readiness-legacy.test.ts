import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { throwSwitch } from '../../support/server/stub/stub-switches.ts';
import { watchEngine, type EngineEvents } from '../../support/engine-proxy/engine-events.ts';
import { buildMs, readinessImage, requiredName } from '../../support/images/readiness-images.ts';
import { startReadinessStage, type ReadinessStageHost } from '../../support/scenes/readiness-stage.ts';

/*
 * A legacy agent works no more once its server requires another image: its script starts upgrades instead, here as servers of
 * cattle 0.165 do (`docker run -d`), which remove the upgrade container of the turn before by force. Ten minutes of an outage
 * are one minute here: WORKER_TOTAL of the image is 150 s instead of 900 s, the script's pause stays five seconds.
 */
let stage: ReadinessStageHost;
let events: EngineEvents | undefined;

beforeAll(async () => {
  stage = await startReadinessStage({ name: 'readiness-legacy', stub: { upgradeStyle: 'detached' } });
}, buildMs);
afterEach(async () => {
  events?.end();
  events = undefined;
  await stage.reset();
});
afterAll(async () => stage.close());

const outageMs = 60_000;
/** Until the legacy agent works again after the first good answer. */
const backSeconds = 15;

function created(name: RegExp): readonly string[] {
  return (events?.seen ?? []).filter((event) => name.test(event));
}

/** The whole server is down first, then only what needs keys: so the script goes on asking. */
async function sitOut(): Promise<void> {
  const { server } = stage.scene;
  await throwSwitch(server, 'any:status=503,html');
  await sleep(outageMs / 4);
  server.clearFaults();
  await throwSwitch(server, 'configcontent-schema:status=503,html');
  await sleep((outageMs * 3) / 4);
}

async function beginUpgrade(): Promise<void> {
  await stage.provide('patient');
  events = await watchEngine(stage.scene);
  let hasBegun = false;
  stage.scene.host.proxy.addRule({
    match: ({ path, query }) =>
      path === '/containers/create' && query['name']?.startsWith('rancher-agent-next') === true,
    times: 1,
    action: {
      kind: 'call',
      when: 'before',
      run: async () => {
        await throwSwitch(stage.scene.server, 'any:status=503,html');
        hasBegun = true;
      },
    },
  });
  stage.requireByServer(requiredName);
  await stage.scene.waitFor('the upgrade begins', async () => Promise.resolve(hasBegun || undefined));
}

it('ten minutes of 503 cost one worker and one next agent; healthy again, the host is upgraded', async () => {
  const before = await stage.startLegacy();
  await beginUpgrade();
  await sitOut();
  await stage.expectSameStart(before);
  expect(created(/^create rancher-agent-worker/)).toHaveLength(1);
  expect(created(/^create rancher-agent-next/)).toHaveLength(1);
  // The script was at work all the time.
  expect(created(/^create rancher-agent-upgrade$/).length).toBeGreaterThan(3);
  stage.scene.server.clearFaults();
  await stage.upgraded(requiredName, 90);
  expect(created(/^create rancher-agent-next/)).toHaveLength(1);
}, 240_000);

it(`the setting turned back: the legacy agent works within ${backSeconds} s, and nothing else is left`, async () => {
  const before = await stage.startLegacy();
  await beginUpgrade();
  await sleep(outageMs / 4);
  stage.scene.server.clearFaults();
  stage.scene.server.setRequiredImage(readinessImage('legacy'));
  const begun = performance.now();
  const agent = await stage.atWork(backSeconds);
  const seconds = (performance.now() - begun) / 1000;
  console.log(`the legacy agent works ${seconds.toFixed(1)} s after the setting was turned back`);
  expect(agent).toMatchObject({ id: before.id, startedAt: before.startedAt });
  await stage.scene.waitFor('the legacy agent alone', async () => {
    const upgrade = await stage.scene.host.inspect('rancher-agent-upgrade');
    if (upgrade?.State.Running === false) await stage.scene.host.tryDocker('rm', 'rancher-agent-upgrade');
    return (await stage.scene.names()).join() === 'rancher-agent' ? true : undefined;
  });
  expect(await stage.scene.readStatus()).not.toMatchObject({ state: 'working' });
}, 180_000);
