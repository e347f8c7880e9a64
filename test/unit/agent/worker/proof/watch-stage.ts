import {
  watchBootstrap,
  type BootstrapWatch,
  type WatchResult,
} from '../../../../../src/agent/worker/proof/bootstrap-watch.ts';
import type { ContainerDetails } from '../../../../../src/engine/engine.ts';
import { agentEnvironment, scene, stageEachTest } from './proof-stage.ts';

/* The stage of the tests of the watch: an agent that has just been promoted. */

export const proven = { serving: { kind: 'serves' }, parked: 'proven' };

export let agent: ContainerDetails;

export function stageActiveAgent(): void {
  stageEachTest(() => {
    agent = scene.add('rancher-agent', { environment: agentEnvironment() });
  });
}

/** Adds the agent that the promotion has parked. */
export function park(labels: Readonly<Record<string, string>>): void {
  scene.add('rancher-agent-previous', {
    labels,
    image: 'rancher/agent:v1.2.11',
    state: 'exited',
    environment: agentEnvironment(),
  });
}

/** Watches the bootstrap of the agent until it is decided. */
export async function watch(parts: Partial<BootstrapWatch> = {}): Promise<WatchResult> {
  return watchBootstrap(
    { work: scene.work, wasReady: true, isRescue: false, ...parts },
    await scene.observed('rancher-agent'),
    await scene.observe(),
  );
}

/** The same; an error is the answer. */
export async function endOf(parts: Partial<BootstrapWatch> = {}): Promise<unknown> {
  return watch(parts).catch((error: unknown) => error);
}
