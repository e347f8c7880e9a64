import { expect, it } from 'vitest';
import type { Observed } from '../../../../../src/agent/transaction/observe.ts';
import { askRequirement } from '../../../../../src/agent/worker/proof/requirement.ts';
import { InterruptedError } from '../../../../../src/support/errors.ts';
import { agentKeys, legacy } from '../../../fakes/worker-scene.ts';
import { agentEnvironment, scene, server, stageEachTest } from './proof-stage.ts';

stageEachTest();

async function agent(environment = agentEnvironment()): Promise<Observed> {
  scene.add('rancher-agent', { labels: legacy, environment });
  return scene.observed('rancher-agent');
}

it.each([
  [['rancher/agent:v1.2.11'], 'rancher/agent:v1.2.11'],
  [['registry:5000/rancher/agent@sha256:0123'], 'registry:5000/rancher/agent@sha256:0123'],
  [[''], undefined],
  [['$(reboot)'], 'unknown'],
])('a server whose setting is %j requires %s', async (images, required) => {
  server.setRequiredImage(...images);
  expect(await askRequirement(scene.work, await agent())).toBe(required);
});

it.each([
  'reset',
  'truncate',
  'html200',
  { status: 503 },
  { status: 401, body: 'html' },
  { text: '' },
] as const)('a server that answers %j: unknown, never "none"', async (fault) => {
  server.fault('bootstrap', fault);
  expect(await askRequirement(scene.work, await agent())).toBe('unknown');
});

it('an agent without keys cannot be asked about', async () => {
  expect(await askRequirement(scene.work, await agent({ CATTLE_URL: `${server.url}/v1` }))).toBe('unknown');
});

it('the secret key is known as a secret before anything is logged', async () => {
  await server.pause();
  try {
    await askRequirement(scene.work, await agent());
    expect(scene.work.secrets.scrub(`key ${agentKeys.secretKey}`)).not.toContain(agentKeys.secretKey);
    expect(scene.lines.join('')).not.toContain(agentKeys.secretKey);
  } finally {
    await server.resume();
  }
});

it('a worker that is told to stop stops', async () => {
  const reason = new InterruptedError('SIGTERM');
  const observed = await agent();
  server.fault('bootstrap', 'hang-accept');
  const asking = askRequirement(scene.work, observed);
  setTimeout(() => {
    scene.stop.abort(reason);
  }, 30);
  await expect(asking).rejects.toBe(reason);
});
