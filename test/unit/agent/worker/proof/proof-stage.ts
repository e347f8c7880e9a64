import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { ContainerDetails } from '../../../../../src/engine/engine.ts';
import { awaitReadiness, type Gate, type Passage } from '../../../../../src/agent/worker/proof/gate.ts';
import { startStubServer, type StubServer } from '../../../../support/server/stub/stub-server.ts';
import { agentKeys, environmentFor, WorkerScene, type SceneOptions } from '../../../fakes/worker-scene.ts';

/* The stage of every test of a proof: one server for the file, and a new scene for each test. */

export let server: StubServer;
export let scene: WorkerScene;

/** Prepares the stage of this test file. @param arrange what each test begins with */
export function stageEachTest(arrange: () => void | Promise<void> = () => undefined): void {
  beforeAll(async () => {
    server = await startStubServer({ agents: [agentKeys] });
  });
  beforeEach(async () => {
    await server.heal();
    scene = await WorkerScene.create();
    await arrange();
  });
  afterEach(async () => scene.remove());
  afterAll(async () => server.close());
}

/** Begins again with an empty scene, in the middle of a test. */
export async function replaceScene(options: SceneOptions): Promise<void> {
  await scene.remove();
  scene = await WorkerScene.create(options);
}

/** The environment of an agent of this server. */
export function agentEnvironment(): Readonly<Record<string, string>> {
  return environmentFor(`${server.url}/v1`);
}

/** Adds a next agent on standby. */
export function addNext(name = 'rancher-agent-next'): ContainerDetails {
  return scene.add(name, { environment: agentEnvironment() });
}

/** Waits at the gate until this next agent is let through. */
export async function passGate(next: ContainerDetails, parts: Partial<Gate> = {}): Promise<Passage> {
  const usual = { work: scene.work, offline: false, target: 'rancher/agent:wanted', isReconciling: false };
  const gate: Gate = { ...usual, lifetime: scene.life.signal, ...parts };
  return awaitReadiness(gate, await scene.observed(next.name), await scene.observe());
}

/** What the gate answers instead: its error, or the passage in a property of its own. */
export async function refusalAtGate(next: ContainerDetails, parts: Partial<Gate> = {}): Promise<unknown> {
  return passGate(next, parts).then(
    (passage) => ({ passed: passage }),
    (error: unknown) => error,
  );
}

/** How long (ms) the work takes in the time of the scene. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = scene.clock.elapsed();
  await work();
  return scene.clock.elapsed() - begun;
}
