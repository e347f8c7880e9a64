import { describe, expect, it } from 'vitest';
import type { TransactionResult } from '../../../../../src/agent/transaction/transaction.ts';
import { createProof, type Proof } from '../../../../../src/agent/worker/proof/proof.ts';
import type { ContainerDetails } from '../../../../../src/engine/engine.ts';
import { earlier, failureWith, hardened, legacy } from '../../../fakes/worker-scene.ts';
import { addNext, agentEnvironment, scene, server, stageEachTest } from './proof-stage.ts';

let next: ContainerDetails;
let readyCount: number;

stageEachTest(() => {
  next = addNext();
  readyCount = 0;
});

function prove(environment: Readonly<Record<string, string>> = {}): Proof {
  return createProof({
    work: scene.work,
    target: 'rancher/agent:wanted',
    isReconciling: false,
    lifetime: scene.life.signal,
    environment,
    onReady: () => {
      readyCount++;
    },
  });
}

async function ready(proof: Proof): Promise<void> {
  await proof.awaitReady(await scene.observed(next.name), await scene.observe());
}

/** The next agent gets the name; the one before it is parked if there is one. */
async function promoteAndWatch(proof: Proof): Promise<string> {
  const [, old] = [...scene.containers.values()];
  if (old !== undefined) scene.change(old.id, { name: 'rancher-agent-previous', state: 'exited' });
  scene.change(next.id, { name: 'rancher-agent' });
  return proof.watchBootstrap(await scene.observed('rancher-agent'), await scene.observe());
}

async function resultWith(name?: string): Promise<TransactionResult> {
  return {
    reached: true,
    agent: name === undefined ? undefined : await scene.observed(name),
    agentRuns: true,
    restarts: false,
    unremovable: [],
    touchedAgent: true,
    isIncumbent: false,
    error: undefined,
  };
}

function addOld(parts: Partial<ContainerDetails> = {}): void {
  scene.add('rancher-agent', { environment: agentEnvironment(), ...parts });
}

describe('a proof from standby to the end', () => {
  it('ready, promoted, its bootstrap runs: it serves', async () => {
    addOld();
    const proof = prove();
    await scene.writeReadiness(next);
    await ready(proof);
    expect(readyCount).toBe(1);
    await scene.keepServing(next, { bootstrap: { runningSinceElapsed: scene.clock.elapsed() } });
    expect(await promoteAndWatch(proof)).toBe('proven');
    expect(await proof.conclude(await resultWith('rancher-agent'))).toEqual({ kind: 'serves' });
  });

  it('one that is refused never ends the waiting', async () => {
    addOld();
    const failure = failureWith({ check: 'programs', fault: 'image', cause: 'ready-script-no-bash' });
    await scene.writeReadiness(next, { failure });
    await expect(ready(prove())).rejects.toMatchObject({ code: 'ready-script-no-bash' });
    expect(readyCount).toBe(0);
  });

  it('a rescue that does not serve keeps the parked agent, and says which check failed', async () => {
    addOld({ state: 'exited' });
    const proof = prove();
    await scene.writeReadiness(next, { failure: failureWith() });
    await ready(proof);
    await scene.writeServing(next, { cause: 'server-unreachable', message: 'no answer' });
    expect(await promoteAndWatch(proof)).toBe('keep-parked');
    expect(await proof.conclude(await resultWith('rancher-agent'))).toEqual({
      kind: 'not-serving',
      cause: 'ready-curl-tls',
      message: 'curl does not trust the server',
      hint: 'look at the certificate',
    });
  });

  it('promoted with keys that are refused to everybody: the state is that of revoked keys', async () => {
    addOld({ state: 'exited' });
    const proof = prove();
    const failure = failureWith({
      check: 'keys',
      fault: 'keys',
      cause: 'ready-keys-revoked',
      confirmed: true,
    });
    await scene.writeReadiness(next, { failure });
    await ready(proof);
    await scene.writeServing(next, { cause: 'keys-revoked', message: 'status 401' });
    await promoteAndWatch(proof);
    expect(await proof.conclude(await resultWith('rancher-agent'))).toMatchObject({
      kind: 'not-serving',
      cause: 'keys-revoked',
    });
  });

  it('promoted although a check had failed, and serves after all: it serves', async () => {
    addOld({ state: 'exited' });
    const proof = prove();
    await scene.writeReadiness(next, { failure: failureWith() });
    await ready(proof);
    await scene.keepServing(next, { bootstrap: { runningSinceElapsed: scene.clock.elapsed() } });
    expect(await promoteAndWatch(proof)).toBe('proven');
    expect(await proof.conclude(await resultWith('rancher-agent'))).toEqual({ kind: 'serves' });
  });
});

describe('offline', () => {
  it('nothing is asked or watched, and it is never called serving', async () => {
    addOld();
    const before = server.requests.length;
    const proof = prove({ AGENT_OFFLINE: 'true' });
    await ready(proof);
    expect(await promoteAndWatch(proof)).toBe('proven');
    expect(await proof.conclude(await resultWith('rancher-agent'))).toMatchObject({
      kind: 'unknown',
      cause: 'serving-unknown',
      message: expect.stringContaining('--offline') as string,
    });
    expect(server.requests.length).toBe(before);
  });

  it('any other value of the variable is not offline', async () => {
    addOld();
    await scene.writeReadiness(next, { failure: failureWith({ fault: 'image' }) });
    await expect(ready(prove({ AGENT_OFFLINE: '1' }))).rejects.toMatchObject({ exitCode: 73 });
  });
});

describe('nothing was switched: what the agent says of itself', () => {
  it.each([
    ['yes', { kind: 'serves' }],
    ['no', { kind: 'not-serving', cause: 'server-unreachable' }],
  ] as const)('serving: %s', async (serving, known) => {
    addOld();
    const [, agent] = [...scene.containers.values()];
    if (agent === undefined) throw new Error('no agent');
    const cause = serving === 'no' ? { cause: 'server-unreachable', message: 'no answer' } : {};
    await scene.writeServing(agent, { serving, ...cause });
    expect(await prove().conclude(await resultWith('rancher-agent'))).toMatchObject(known);
  });

  it('nothing at all is not serving', async () => {
    addOld();
    expect((await prove().conclude(await resultWith('rancher-agent'))).kind).toBe('unknown');
  });

  it.each([
    ['a legacy entrypoint', legacy],
    ['an earlier entrypoint', earlier],
  ])('an image with %s: readiness was not checked', async (kind, labels) => {
    addOld({ labels });
    expect(await prove().conclude(await resultWith('rancher-agent'))).toMatchObject({
      kind: 'unknown',
      cause: 'serving-unknown',
      message: `readiness was not checked, because its image has ${kind}: it is not known whether it serves`,
    });
  });

  it('no agent is not serving', async () => {
    expect((await prove().conclude(await resultWith())).kind).toBe('unknown');
  });
});

it('each proof knows only of its own transaction', async () => {
  addOld({ labels: hardened });
  const first = prove();
  await scene.writeReadiness(next);
  await ready(first);
  expect((await prove().conclude(await resultWith('rancher-agent'))).kind).toBe('unknown');
});
