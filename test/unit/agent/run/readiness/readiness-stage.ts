import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { proveReadiness, type Proof } from '../../../../../src/agent/run/readiness/readiness.ts';
import { startStubServer, type StubServer } from '../../../../support/server/stub/stub-server.ts';
import { agentKeys, createProbeScene, type ProbeScene } from '../../../../support/scenes/readiness-probe.ts';

/* A server for the file, and for each test a new image that has to prove its readiness. */

export let scene: ProbeScene;
export let server: StubServer;

export function stageEachTest(): void {
  beforeAll(async () => {
    server = await startStubServer({ agents: [agentKeys] });
  });
  beforeEach(async () => {
    await server.heal();
    scene = await createProbeScene();
  });
  afterEach(async () => scene.remove());
  afterAll(async () => server.close());
}

export async function prove(
  environment: Readonly<Record<string, string>> = {},
  { url = `${server.url}/v1`, sideBySide = true } = {},
): Promise<Proof> {
  const proof = await proveReadiness(scene.probe(url, environment), { sideBySide });
  await proof.staged?.script.dispose();
  return proof;
}
