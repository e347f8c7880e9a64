/**
 * Creates containers as the legacy entrypoint leaked them, thousands of them, fast: over the engine's API, several at a
 * time and on connections that stay open.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestHost } from '../host/test-host.ts';

/**
 * What `docker run --rm --privileged …` of the legacy entrypoint asks the engine for; a test may change parts of it.
 */
export interface Leak {
  readonly image: string;
  readonly name?: string;
  readonly command?: readonly string[];
  readonly entrypoint?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly binds?: readonly string[];
  readonly restart?: string;
  readonly start?: boolean;
}

export const shareMnt: readonly string[] = [
  ...['--', '/usr/bin/share-mnt', '/var/lib/rancher/volumes', '/var/lib/kubelet'],
  ...['--', 'norun'],
];

/** A higher number is not faster on two cores. */
const PARALLEL = 8;
const CALL_DEADLINE_MS = 120_000;

/** Creates containers, several at a time. @returns their ids in the order of `leaks` */
export async function makeLeaks(socketPath: string, leaks: readonly Leak[]): Promise<readonly string[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: PARALLEL });
  const ids: string[] = [];
  let next = 0;
  const makeInTurn = async (): Promise<void> => {
    for (let index = next++; index < leaks.length; index = next++) {
      const leak = leaks[index];
      if (leak !== undefined) ids[index] = await makeLeak(socketPath, leak, agent);
    }
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL }, makeInTurn));
    return ids;
  } finally {
    agent.destroy();
  }
}

/** Creates one. @returns its id */
export async function makeLeak(socketPath: string, leak: Leak, agent?: Agent): Promise<string> {
  const query = leak.name === undefined ? '' : `?name=${leak.name}`;
  const answer = await post(socketPath, `/containers/create${query}`, bodyOf(leak), agent);
  if (answer.status !== 201) throw new Error(`create: ${answer.status} ${answer.text}`);
  const { Id: id } = JSON.parse(answer.text) as { Id: string };
  if (leak.start !== true) return id;
  const started = await post(socketPath, `/containers/${id}/start`, {}, agent);
  if (started.status !== 204) throw new Error(`start ${id}: ${started.status} ${started.text}`);
  return id;
}

function bodyOf(leak: Leak): object {
  return {
    Image: leak.image,
    Cmd: leak.command ?? ['inspect-host'],
    ...(leak.entrypoint === undefined ? {} : { Entrypoint: [leak.entrypoint] }),
    Labels: leak.labels ?? {},
    HostConfig: {
      Privileged: true,
      Binds: leak.binds ?? ['/run:/run', '/var/run:/var/run', '/var/lib:/var/lib'],
      RestartPolicy: { Name: leak.restart ?? 'no' },
    },
  };
}

function post(
  socketPath: string,
  path: string,
  body: object,
  agent: Agent | undefined,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        ...{ socketPath, path, method: 'POST', headers: { 'content-type': 'application/json' } },
        ...{ agent: agent ?? false, signal: AbortSignal.timeout(CALL_DEADLINE_MS) },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
      },
    );
    call.on('error', reject);
    call.end(JSON.stringify(body));
  });
}

/**
 * Lets containers look as if they had been created and had exited at another time, as their engine would have written
 * it down. The engine is restarted for it.
 */
export async function ageContainers(
  host: Pick<TestHost, 'dockerRoot' | 'stopEngine' | 'startEngine' | 'containers'>,
  ids: readonly string[],
  madeAt: Date,
): Promise<void> {
  await waitUntilEnded(host, new Set(ids));
  await host.stopEngine();
  await Promise.all(
    ids.map(async (id) => {
      const file = join(host.dockerRoot, 'containers', id, 'config.v2.json');
      const config = JSON.parse(await readFile(file, 'utf8')) as {
        Created: string;
        State: { StartedAt: string; FinishedAt: string };
      };
      const hasRun = !config.State.StartedAt.startsWith('0001');
      config.Created = madeAt.toISOString();
      if (hasRun) config.State.StartedAt = config.State.FinishedAt = madeAt.toISOString();
      await writeFile(file, JSON.stringify(config));
    }),
  );
  await host.startEngine();
}

/** An engine lists a container that ran during its restart as exited at the time of the restart. */
async function waitUntilEnded(host: Pick<TestHost, 'containers'>, ids: ReadonlySet<string>): Promise<void> {
  const deadline = Date.now() + CALL_DEADLINE_MS;
  while ((await host.containers()).some(({ id, state }) => ids.has(id) && state === 'running')) {
    if (Date.now() > deadline) throw new Error('a leaked helper does not end');
    await sleep(50);
  }
}
