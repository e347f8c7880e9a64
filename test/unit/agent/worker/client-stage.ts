import { afterEach, beforeEach } from 'vitest';
import { labels } from '../../../../src/agent/identity/roles.ts';
import { runThroughWorker } from '../../../../src/agent/worker/client.ts';
import { digestOfRequest, type WorkerRequest } from '../../../../src/agent/worker/request.ts';
import type { Clock } from '../../../../src/support/clock.ts';
import { defaultLimits, type Limits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { empty, FakeDaemon, engineOfTheIncident, json, text, type Answer } from '../../fakes/fake-daemon.ts';
import { names } from '../../fakes/role-names.ts';

export { names };

/* The caller's side of the work on an engine without AutoRemove, answering as engine-notes §2 records 1.10.3. */

/** Gives the event loop a turn, so that what is waited for beside it can come. */
export const clock: Clock = {
  now: Date.now,
  elapsed: Date.now,
  sleep: async (_ms, signal) => {
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  },
  random: () => 0,
};
export const request: WorkerRequest = { task: 'upgrade', workerImage: 'rancher/agent:v2', environment: {} };
export const old = 'a'.repeat(64);
export const made = 'b'.repeat(64);
export const taken = text(
  409,
  `Conflict. The name "/${names.worker}" is already in use by container ${old}. You have to remove (or rename) it.\n`,
);

export let daemon: FakeDaemon;

export function stageDaemon(): void {
  beforeEach(async () => {
    daemon = await FakeDaemon.start(engineOfTheIncident);
    daemon.on('POST', '/containers/create', json(201, { Id: made }));
    worker(made, 'running');
    daemon.on('POST', `/containers/${made}/start`, empty(204));
    daemon.on('POST', `/containers/${made}/wait`, json(200, { StatusCode: 0 }));
    daemon.on('GET', `/containers/${made}/logs`, text(200, ''));
    daemon.on('DELETE', `/containers/${made}`, empty(204));
  });
  afterEach(async () => daemon.stop());
}

export interface Facts {
  readonly digest?: string;
  readonly privileged?: boolean;
  readonly startedAt?: number;
  readonly name?: string;
}

export function inspection(id: string, status: string, facts: Facts = {}): Answer {
  const { digest = digestOfRequest(request), privileged = true, startedAt, name = names.worker } = facts;
  return json(200, {
    Id: id,
    Name: `/${name}`,
    Image: 'sha256:2',
    State: {
      ...{ Status: status, Running: status === 'running', Dead: status === 'dead', ExitCode: 0 },
      ...(startedAt === undefined ? {} : { StartedAt: new Date(startedAt).toISOString() }),
    },
    Config: { Image: request.workerImage, Labels: { [labels.role]: 'worker', [labels.request]: digest } },
    HostConfig: { Privileged: privileged, Binds: ['/var/run/docker.sock:/var/run/docker.sock'] },
  });
}

export function worker(id: string, status: string): void {
  daemon.on('GET', `/containers/${id}/json`, inspection(id, status));
}

export async function ask(
  limits: Limits = defaultLimits,
  waiting: Clock = clock,
  write: (chunk: Buffer) => void = () => undefined,
): Promise<number> {
  const engine = await daemon.connect({
    limits,
    clock,
  });
  return runThroughWorker(
    {
      engine,
      names,
      limits,
      clock: waiting,
      log: silentLog,
      stateVolume: 'rancher-agent-state',
      write,
      signal: new AbortController().signal,
    },
    request,
  );
}

export function changes(): readonly string[] {
  return daemon.seen
    .filter(({ method, url }) => method !== 'GET' || url.includes('/logs'))
    .map(({ method, url }) => `${method} ${url.replace(/\?.*/, '').replace('/containers/', '')}`);
}

/** Answers a create by the name that it asks for. */
export function creates(answers: Readonly<Record<string, Answer>>): void {
  daemon.on('POST', '/containers/create', (response, seen) => {
    const name = new URL(seen.url, 'http://engine').searchParams.get('name') ?? '';
    (answers[name] ?? taken)(response, seen);
  });
}

export const [first = '', second = '', third = ''] = names.workers;
export const created = json(201, { Id: made });
export const forged = { privileged: false } as const;
