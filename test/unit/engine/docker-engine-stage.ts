import { afterEach, beforeEach } from 'vitest';
import type { EngineOptions } from '../../../src/engine/reads.ts';
import type { ContainerSpec, Engine } from '../../../src/engine/engine.ts';
import { defaultLimits, type Limits } from '../../../src/support/limits/limits.ts';
import { clockWithoutPauses } from '../fakes/clocks.ts';
import { FakeDaemon, engineOfToday } from '../fakes/fake-daemon.ts';

/* A connection to a fake daemon, with limits that are short enough for a test and long enough for a slow machine. */

export const deadline = 300;
export const limits: Limits = {
  ...defaultLimits,
  ENGINE_CONNECT: deadline,
  INSPECT: deadline,
  LIST: deadline,
  CREATE: deadline,
  START: deadline,
  STOP: deadline,
  RENAME: deadline,
  REMOVE: deadline,
  PULL_SILENCE: deadline,
};
export const id = 'f'.repeat(64);
export const details = {
  Id: id,
  Name: '/rancher-agent',
  Image: 'sha256:abc',
  State: { Status: 'running', Running: true, StartedAt: '2026-01-01T00:00:00Z' },
  Config: { Image: 'rancher/agent:v1', Env: [], Labels: {} },
};
export const spec: ContainerSpec = {
  image: 'rancher/agent:v2',
  command: ['run'],
  environment: { CATTLE_SECRET_KEY: 'do-not-tell' },
  labels: {},
  restart: 'always',
  autoRemove: false,
  privileged: true,
  hostNetwork: true,
  hostPid: true,
  binds: [],
};

export let daemon: FakeDaemon;

export function stageDaemon(): void {
  beforeEach(async () => {
    daemon = await FakeDaemon.start(engineOfToday);
  });
  afterEach(async () => daemon.stop());
}

export async function connect(parts: Partial<EngineOptions> = {}): Promise<Engine> {
  return daemon.connect({
    limits,
    clock: clockWithoutPauses,
    ...parts,
  });
}
