import type { ContainerDetails } from '../../../../../src/engine/engine.ts';
import type { ReadinessResult } from '../../../../../src/agent/run/readiness/result.ts';
import type { Gate, Passage } from '../../../../../src/agent/worker/proof/gate.ts';
import { startedAt, type SceneOptions } from '../../../fakes/worker-scene.ts';
import {
  addNext,
  agentEnvironment,
  passGate,
  refusalAtGate,
  replaceScene,
  scene,
  stageEachTest,
} from './proof-stage.ts';

/* The stage of the tests of the gate: a next agent on standby, and nothing else. */

export const target = 'rancher/agent:wanted';
export const oldImage = 'rancher/agent:v1.2.11';
/** The first start of every container in a scene. */
export const start = `${startedAt}/0`;

export let next: ContainerDetails;

export function stageNextAgent(): void {
  stageEachTest(() => {
    next = addNext();
  });
}

/** Begins again with other options, in the middle of a test. */
export async function stageAgain(options: SceneOptions, name?: string): Promise<void> {
  await replaceScene(options);
  next = addNext(name);
}

/** Adds the agent that is active. */
export function addOld(
  labels: Readonly<Record<string, string>>,
  parts: Partial<ContainerDetails> = {},
): void {
  scene.add('rancher-agent', { labels, environment: agentEnvironment(), image: oldImage, ...parts });
}

export async function pass(parts: Partial<Gate> = {}): Promise<Passage> {
  return passGate(next, parts);
}

export async function refusalOf(parts: Partial<Gate> = {}): Promise<unknown> {
  return refusalAtGate(next, parts);
}

/** Writes a fresh result every 10 s, as a next agent does. */
export async function keepWriting(parts: Partial<ReadinessResult>): Promise<void> {
  await scene.writeReadiness(next, parts);
  scene.clock.after(10_000, async () => keepWriting(parts));
}
