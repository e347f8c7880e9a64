import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { throwSwitch } from '../../support/server/stub/stub-switches.ts';
import {
  buildMs,
  readinessImage,
  requiredName,
  type ReadinessStage,
} from '../../support/images/readiness-images.ts';
import {
  describeEnding,
  readinessRows,
  type ReadinessEnding,
  type ReadinessRow,
} from '../../support/scenes/readiness-scenes.ts';
import {
  startReadinessStage,
  type AgentAtWork,
  type ReadinessStageHost,
} from '../../support/scenes/readiness-stage.ts';
import { limits, upgradeArguments } from '../../support/scenes/scene.ts';

/*
 * A next agent proves on standby that it can serve, before the old agent is stopped: every row of readiness-scenes.ts from a
 * hardened agent, and by the server's own script from a legacy agent. Then the same image mended, or the server healthy: upgraded.
 */
let stage: ReadinessStageHost;

beforeAll(async () => {
  stage = await startReadinessStage({ name: 'readiness' });
}, buildMs);
afterEach(async () => stage.reset());
afterAll(async () => stage.close());

const cellMs = 240_000;

function isNextCreation({
  method,
  path,
  query,
}: {
  method: string;
  path: string;
  query: Record<string, string>;
}): boolean {
  return (
    method === 'POST' &&
    path === '/containers/create' &&
    query['name']?.startsWith('rancher-agent-next') === true
  );
}

/** From the creation of the next agent on the server is as the switches say. */
function armSwitches(switches: readonly string[]): void {
  if (switches.length === 0) return;
  stage.scene.host.proxy.addRule({
    match: isNextCreation,
    times: 1,
    action: {
      kind: 'call',
      when: 'before',
      run: async () => {
        for (const text of switches) await throwSwitch(stage.scene.server, text);
      },
    },
  });
}

/** The server is healthy, and the image that it requires is a sound one of the same name. */
async function mend(): Promise<void> {
  await stage.scene.server.heal();
  stage.scene.server.setRequiredImage(requiredName);
  await stage.provide('trusting');
}

async function expectState({ state, exitCode, cause }: ReadinessEnding): Promise<void> {
  const status = await stage.scene.readStatus();
  expect(status).toMatchObject({ state, exitCode });
  expect(status['cause']).toMatch(cause);
}

function countNextCreations(): number {
  return stage.scene.host.proxy.count((request) => isNextCreation(request) && request.status === 201);
}

describe('each broken image has the fault that its name says, and no other', () => {
  /** Prints how bash, the image's curl and a name look-up end. */
  const probe = `for check in '/bin/bash -c :' 'tar --version' 'curl -sf -m 10 $0/v1/scripts/bootstrap' 'getent hosts rancher'; do
  $check >/dev/null 2>&1 && echo yes || echo no
done`;
  const sound = ['yes', 'yes', 'yes', 'yes'];
  const faults: Partial<Record<ReadinessStage, readonly string[]>> = {
    old: sound,
    trusting: sound,
    legacy: sound,
    'other-keys': sound,
    bashless: ['no', 'yes', 'yes', 'yes'],
    'tar-fails': ['yes', 'no', 'yes', 'yes'],
    sound: ['yes', 'yes', 'no', 'yes'],
    'curl-refuses': ['yes', 'yes', 'no', 'yes'],
    'no-bundle': ['yes', 'yes', 'no', 'yes'],
    proxied: ['yes', 'yes', 'no', 'yes'],
    nameless: ['yes', 'yes', 'no', 'no'],
  };

  it.each(Object.entries(faults))('%s', async (name, expected) => {
    const shell = ['run', '--rm', '--net', 'host', '--entrypoint', '/bin/sh'];
    const image = readinessImage(name as ReadinessStage);
    const originalMessage = await stage.scene.host.docker(
      ...shell,
      image,
      '-c',
      probe.replaceAll('$0', stage.url),
    );
    expect(originalMessage.split('\n')).toEqual(expected);
  });
});

describe('an upgrade of a hardened agent', () => {
  it.each(readinessRows.map((row) => [row.title, describeEnding(row.fromHardened), row] as const))(
    '%s: %s; mended, it is upgraded',
    async (_title, _ending, row) => {
      const ending = row.fromHardened;
      const before = await stage.startHardened();
      await strike(row, before, ending);
      await mend();
      if (ending.host !== 'promoted') {
        const again = await stage.scene.upgrade(requiredName);
        expect(again, again.stderr).toMatchObject({ status: 0 });
      }
      const agent = await stage.upgraded(requiredName, 60);
      expect(agent.id).not.toBe(before.id);
    },
    cellMs,
  );

  async function strike(row: ReadinessRow, before: AgentAtWork, ending: ReadinessEnding): Promise<void> {
    const { scene } = stage;
    await stage.provide(row.image);
    armSwitches(row.switches);
    const result = await scene.upgrade(requiredName);
    expect(result.status, result.stderr).toBe(ending.exitCode);
    await expectState(ending);
    await scene.removeUpgradeContainer();
    if (ending.host === 'promoted') {
      expect(await scene.host.inspect('rancher-agent')).toMatchObject({ Config: { Image: requiredName } });
      return;
    }
    await scene.settled();
    await stage.expectUntouched(before);
    expect(scene.host.proxy.count(({ path }) => path === `/containers/${before.id}/stop`)).toBe(0);
    expect(countNextCreations()).toBe(1);
  }
});

describe("an upgrade of a legacy agent by the server's own script", () => {
  it.each(readinessRows.map((row) => [row.title, describeEnding(row.fromLegacy), row] as const))(
    '%s: %s; mended, it is upgraded',
    async (_title, _ending, row) => {
      const ending = row.fromLegacy;
      const before = await stage.startLegacy();
      await stage.provide(row.image);
      armSwitches(row.switches);
      stage.requireByServer(requiredName);
      await stage.waitForState(ending.state, 90);
      await expectState(ending);
      if (ending.host === 'promoted') {
        expect(await stage.scene.host.inspect('rancher-agent')).toMatchObject({
          Config: { Image: requiredName },
        });
      } else {
        await stage.expectSameStart(before);
        await expectNextAgent(ending.host === 'held');
      }
      await mend();
      const agent = await stage.upgraded(requiredName, 120);
      expect(agent.id).not.toBe(before.id);
    },
    cellMs,
  );

  async function expectNextAgent(stays: boolean): Promise<void> {
    const next = await stage.scene.host.inspect('rancher-agent-next');
    expect(next?.State.Running).toBe(stays ? true : undefined);
    if (stays) expect(countNextCreations()).toBe(1);
  }
});

describe('where there is nothing to protect', () => {
  it('an agent that is stopped is replaced, whatever the checks found, and stays parked until the new one serves', async () => {
    const { scene } = stage;
    const before = await stage.startHardened();
    await scene.host.docker('stop', '--time', '3', 'rancher-agent');
    await stage.provide('trusting');
    armSwitches(['any:status=503']);
    const result = await scene.upgrade(requiredName);
    expect(result.status, result.stderr).toBe(73);
    expect(await scene.readStatus()).toMatchObject({
      state: 'degraded',
      exitCode: 73,
      cause: 'ready-server-busy',
    });
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      Config: { Image: requiredName },
      State: { Running: true },
    });
    expect(await scene.host.inspect(before.id)).toMatchObject({ Name: '/rancher-agent-previous' });
    await mend();
    await stage.upgraded(requiredName, 60);
  }, 120_000);

  it('a first registration is never undone: the agent stays and says what is wrong', async () => {
    const { scene } = stage;
    const image = readinessImage('bashless');
    scene.server.setRequiredImage(image);
    const result = await scene.registerAt(`${stage.url}/v1/scripts/${scene.server.token}`, image);
    expect(result.status, result.stderr).toBe(73);
    expect(await scene.readStatus()).toMatchObject({ state: 'degraded', exitCode: 73 });
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      Config: { Image: image },
      State: { Running: true },
    });
  }, 60_000);

  it('upgrade --offline asks no server, and the state says that nobody knows whether the agent serves', async () => {
    const { scene } = stage;
    await stage.startHardened();
    await stage.provide('trusting');
    await throwSwitch(scene.server, 'any:status=503');
    scene.server.setRequiredImage(requiredName);
    const [, ...rest] = upgradeArguments(requiredName);
    const result = await scene.host.tryDocker('run', ...rest, '--offline');
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(await scene.readStatus()).toMatchObject({ state: 'degraded', cause: 'serving-unknown' });
  }, 60_000);
});

describe('after the promotion', () => {
  it('an agent whose bootstrap fails while the server answers is rolled back: the old one works again', async () => {
    const { scene } = stage;
    const before = await stage.startHardened();
    await stage.provide('tar-fails');
    const result = await scene.upgrade(requiredName);
    expect(result.status, result.stderr).toBe(73);
    expect(await scene.readStatus()).toMatchObject({ state: 'failed', cause: 'bootstrap-fails' });
    await scene.removeUpgradeContainer();
    await scene.settled();
    expect((await stage.atWork()).id).toBe(before.id);
  }, 120_000);

  it('an image is not blamed where the server sends no agent its parts: the old one is back, and works when it does', async () => {
    const { scene } = stage;
    const before = await stage.startHardened();
    await stage.provide('trusting');
    // A curl with --retry 5 gives up after half a minute where the status is 503; a page ends the script at once.
    scene.server.fault('config-content', 'html200');
    const result = await scene.upgrade(requiredName, ...limits({ WORKER_TOTAL: 120_000 }));
    expect(result.status, result.stderr).toBe(75);
    expect(await stage.waitForState('deferred', 60)).toMatchObject({ cause: 'download-fails' });
    await scene.removeUpgradeContainer();
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ Id: before.id });
    // No back-off: the same image is tried again as soon as the server is healthy.
    scene.server.clearFaults();
    await stage.upgraded(requiredName, 90);
  }, 180_000);

  it('a bootstrap that exits by design is no failure', async () => {
    const { scene } = stage;
    await stage.startHardened();
    await stage.provide('trusting');
    scene.server.behaviour.connectionMs = 500;
    const result = await scene.upgrade(requiredName);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    scene.server.behaviour.connectionMs = undefined;
    await scene.removeUpgradeContainer();
    await stage.upgraded(requiredName, 60);
  }, 120_000);
});
