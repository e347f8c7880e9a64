import { describe, expect, it } from 'vitest';
import {
  everyone,
  findKeyHolder,
  observeRoles,
  type Observation,
} from '../../../../src/agent/transaction/observe.ts';
import { isAgentImage } from '../../../../src/agent/identity/roles.ts';
import { SimulatedEngine } from '../../fakes/simulated-engine.ts';
import { actor, emptyScene, names, type SceneDescription } from '../../fakes/transaction-scene.ts';
import { World } from '../../fakes/transaction-world.ts';

async function observe(scene: Partial<SceneDescription>): Promise<Observation> {
  const { host } = new World({ ...emptyScene, ...scene });
  return observeRoles(new SimulatedEngine(host), names, () => host.clock.now());
}

describe('looking at the host', () => {
  it('observing finds the container of each role, and a free parked name where there is none', async () => {
    const observation = await observe({
      agent: actor('managed', 'running'),
      previous: [undefined, actor('upstream', 'exited')],
      legacy: actor('upstream', 'running'),
    });
    expect(observation.agent).toMatchObject({
      name: names.agent,
      managed: true,
      canStandBy: true,
      state: 'running',
    });
    expect(observation.next).toBeUndefined();
    expect(observation.previous.map((found) => found?.name)).toEqual([
      undefined,
      names.previous[1],
      ...[undefined, undefined, undefined],
    ]);
    expect(observation.legacy.map(({ name }) => name)).toEqual([names.legacyAgents[0]]);
  });

  it('takes a dead container that 1.10.3 says it does not have for what it is: dead, and in possession of a name', async () => {
    const { agent } = await observe({ oldEngine: true, agent: actor('upstream', 'dead') });
    expect(agent).toMatchObject({ isDead: true, managed: true, state: 'dead', environment: {} });
  });

  it('the keys of a dead container are read where the engine still knows it', async () => {
    const observation = await observe({ agent: actor('upstream', 'dead') });
    expect(findKeyHolder(observation)?.name).toBe(names.agent);
  });

  it('tells an unmanaged container from an agent of the legacy entrypoint', async () => {
    const observation = await observe({
      agent: actor('unmanaged', 'running'),
      next: actor('managed', 'exited'),
    });
    expect(observation.agent?.managed).toBe(false);
    expect(observation.next?.managed).toBe(true);
  });

  it('a tenant’s container with our label, an agent’s image and keys is unmanaged, under every name', async () => {
    const forged = actor('forged', 'running');
    const observation = await observe({
      ...{ agent: forged, next: forged, otherNexts: [forged, forged], legacy: forged },
      previous: names.previous.map(() => forged),
    });
    const all = everyone(observation);
    expect(all).toHaveLength(2 + names.nexts.length + names.previous.length);
    expect(all.filter(({ managed }) => managed)).toEqual([]);
    expect(observation.next).toBeUndefined();
    expect(findKeyHolder(observation)).toBeUndefined();
  });

  it('the next agent is the managed one, whoever has the first name', async () => {
    const observation = await observe({
      next: actor('forged', 'running'),
      otherNexts: [undefined, actor('managed', 'running')],
    });
    expect(observation.next?.name).toBe(names.nexts[2]);
    expect(observation.nexts.map((found) => found?.managed)).toEqual([false, undefined, true]);
  });

  it('a removal that was started is seen', async () => {
    const { host } = new World({ ...emptyScene, agent: actor('upstream', 'running') });
    const engine = new SimulatedEngine(host);
    const id = host.named(names.agent)?.id ?? '';
    await engine.renameContainer(id, names.previous[0] ?? '');
    await engine.setRestartPolicy(id, 'no');
    const observation = await observeRoles(engine, names, () => host.clock.now());
    expect(observation.previous[0]?.removalStarted).toBe(true);
  });

  it('a restart policy that a person has switched off is no started removal: a rollback may use the agent', async () => {
    const { host } = new World({ ...emptyScene, agent: actor('upstream', 'running') });
    const engine = new SimulatedEngine(host);
    await engine.setRestartPolicy(host.named(names.agent)?.id ?? '', 'no');
    const observation = await observeRoles(engine, names, () => host.clock.now());
    expect(observation.agent).toMatchObject({ removalStarted: false, restartPolicy: 'no' });
  });

  it('a restart policy is never taken for a started removal where the engine cannot change it (1.10.3)', async () => {
    const { host } = new World({
      ...emptyScene,
      oldEngine: true,
      previous: [actor('upstream', 'exited', { policy: 'no' })],
    });
    const observation = await observeRoles(new SimulatedEngine(host), names, () => host.clock.now());
    expect(observation.previous[0]?.removalStarted).toBe(false);
  });
});

describe('whose keys are taken', () => {
  it('the agent’s before those of a parked one, and those before the next one’s', async () => {
    const scene = {
      agent: actor('upstream', 'running'),
      next: actor('wanted', 'created'),
      previous: [actor('upstream', 'exited')],
    } as const;
    expect(findKeyHolder(await observe(scene))?.name).toBe(names.agent);
    expect(findKeyHolder(await observe({ ...scene, agent: undefined }))?.name).toBe(names.previous[0]);
    expect(findKeyHolder(await observe({ next: scene.next }))?.name).toBe(names.next);
  });

  it('a dead container’s last, but rather those than none', async () => {
    const previous = [actor('upstream', 'dead')];
    const next = actor('wanted', 'created');
    expect(findKeyHolder(await observe({ previous, next }))?.name).toBe(names.next);
    expect(findKeyHolder(await observe({ previous }))?.name).toBe(names.previous[0]);
  });

  it('no keys are found where there is no agent', async () => {
    expect(findKeyHolder(await observe({}))).toBeUndefined();
  });
});

describe('an agent’s image', () => {
  it.each([
    'rancher/agent',
    'rancher/agent:v1.2.11',
    'rancher/agent@sha256:0123',
    'registry.example:5000/mirror/rancher/agent:v1.0.2',
    'ghcr.io/pasturestack/node-agent:1',
  ])('%s is an agent’s image', (reference) => {
    expect(isAgentImage(reference)).toBe(true);
  });

  it.each([
    'rancher/agent-instance:v0.8.3',
    'rancher/server',
    'myrancher/agent',
    'nginx',
    'sha256:rancher',
    '',
  ])('%j is no agent’s image', (reference) => {
    expect(isAgentImage(reference)).toBe(false);
  });
});
