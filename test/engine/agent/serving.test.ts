import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';

/** Of an agent that the server knows from the start. */
const keys = { accessKey: 'TESTACCESSKEY0000001', secretKey: 'testsecretkey000000000000000000000000001' };
/** Pauses short enough for a test, and a bootstrap that counts after a second. */
const soon = limits({
  BOOTSTRAP_PAUSE_MIN: 300,
  BOOTSTRAP_PAUSE_MAX: 600,
  BOOTSTRAP_SPREAD: 0,
  BOOTSTRAP_WATCH: 1_000,
  SERVING_GRACE: 1_500,
  SERVING_TICK: 200,
  HOUSEKEEPING: 1_000,
  ATTEMPT_PAUSE_MIN: 500,
  UPGRADE_RETRY_MAX: 1_000,
});

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'serving', stub: { agents: [keys] } });
});
afterEach(async () => {
  await scene.server.heal();
  scene.server.setRequiredImage(images.a);
  await scene.reset();
});
afterAll(async () => scene.close());

async function becomes(what: string, expected: Record<string, unknown>): Promise<Record<string, unknown>> {
  return scene.waitFor(what, async () => {
    const status = await scene.readStatus().catch((): Record<string, unknown> => ({}));
    return Object.entries(expected).every(([name, value]) => status[name] === value) ? status : undefined;
  });
}

describe('the state of a host', () => {
  it('is ok again when the setting is corrected: a failed upgrade goes away without a hand on the host', async () => {
    scene.server.setRequiredImage(images.broken);
    await scene.startAgent(keys, ...soon);
    const before = (await scene.host.inspect('rancher-agent'))?.Id;
    await becomes('a failed upgrade', { state: 'failed' });
    scene.server.setRequiredImage(images.a);
    const status = await becomes('ok', { state: 'ok', command: 'run' });
    expect(status).toMatchObject({
      summary: expect.stringContaining(`requires the image that runs, ${images.a}`) as string,
      serving: { serving: 'yes', container: before },
    });
    expect((await scene.host.inspect('rancher-agent'))?.Id).toBe(before);
  });

  it('is degraded while the script of the server fails, says how, and is ok when it runs', async () => {
    scene.server.behaviour.bootstrapRun = 'fails';
    await scene.startAgent(keys, ...soon);
    const status = await becomes('degraded', { state: 'degraded', cause: 'bootstrap-fails' });
    expect(status['summary']).toMatch(
      /exited with an error \d+ times in a row, the last time with status \d+ after/,
    );
    const doctor = await scene.host.tryDocker('exec', 'rancher-agent', '/run.sh', 'doctor', '--json');
    expect(doctor.status).toBe(2);
    expect((JSON.parse(doctor.stdout) as { causes: string[] }).causes).toContain('bootstrap-fails');
    scene.server.behaviour.bootstrapRun = 'runs-long';
    await becomes('ok', { state: 'ok' });
  });

  it.each([
    ['never connects to its server', (): void => void (scene.server.behaviour.bootstrapRun = 'hangs')],
    [
      'waits for ever for a download',
      (): void => {
        scene.server.behaviour.bootstrapShape = 'rancher';
        scene.server.fault('config-content', 'hang-accept');
      },
    ],
  ])('is degraded while a bootstrap runs that %s, and is ok when it connects', async (_what, strike) => {
    strike();
    const metricsFile = ['-e', 'AGENT_METRICS_FILE=/var/lib/rancher/metrics.prom'];
    const quick = limits({ CONNECTION_PATIENCE: 5_000, CONNECTION_POLL: 1_000 });
    await scene.startAgent(keys, ...soon, ...quick, ...metricsFile);
    const status = await becomes('degraded', { state: 'degraded', cause: 'agent-not-connected' });
    expect(status).toMatchObject({
      exitCode: 73,
      summary: expect.stringMatching(/has run for \S+ s and has not connected to the server/) as string,
      serving: { serving: 'unknown', cause: 'agent-not-connected' },
    });
    const doctor = await scene.host.tryDocker('exec', 'rancher-agent', '/run.sh', 'doctor', '--json');
    expect(doctor.status, doctor.stdout).toBe(2);
    expect((JSON.parse(doctor.stdout) as { causes: string[] }).causes).toContain('agent-not-connected');
    const metrics = await readFile(join(scene.host.stateDir, 'metrics.prom'), 'utf8');
    expect(metrics).toContain('rancher_agent_serving{serving="unknown"} 1');
    await scene.server.heal();
    await scene.host.docker('restart', '--time', '3', 'rancher-agent');
    await becomes('ok', { state: 'ok' });
  });

  it('is failed while the keys are revoked, and ok when the server knows them again', async () => {
    scene.server.behaviour.agentKeys = 'revoked';
    await scene.startAgent(keys, ...soon, ...limits({ CREDENTIALS_PAUSE: 1_000, CREDENTIALS_APART: 1_000 }));
    await becomes('failed', { state: 'failed', cause: 'keys-revoked' });
    scene.server.behaviour.agentKeys = 'live';
    await becomes('ok', { state: 'ok' });
  });
});
