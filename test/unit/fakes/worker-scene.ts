import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { observeRoles, type Observation, type Observed } from '../../../src/agent/transaction/observe.ts';
import { hostOf } from '../../../src/agent/host.ts';
import { selectProfile } from '../../../src/agent/identity/profile.ts';
import type { Reporter } from '../../../src/agent/report/reporter.ts';
import { labels, namesOf } from '../../../src/agent/identity/roles.ts';
import {
  readinessFile,
  type ReadinessFailure,
  type ReadinessResult,
} from '../../../src/agent/run/readiness/result.ts';
import { heartbeatFile } from '../../../src/agent/run/heartbeat.ts';
import { servingFile } from '../../../src/agent/run/serving/record.ts';
import type { ServingRecord } from '../../../src/host/files/serving-record.ts';
import type { Work } from '../../../src/agent/worker/session.ts';
import type { ContainerDetails, Engine, ExecuteCall, ExecuteResult } from '../../../src/engine/engine.ts';
import { featuresOf } from '../../../src/engine/features.ts';
import { pathsBelow, readConfiguration, type ProfileName } from '../../../src/support/configuration.ts';
import type { Limits } from '../../../src/support/limits/limits.ts';
import { createLog } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';
import { shortLimits } from '../../support/server/test-connection.ts';
import { SceneClock, startedAt } from './clocks.ts';

export { startedAt };

/**
 * A worker's view of a host: containers in memory, their files in a real folder, and time that passes only in sleep.
 */

export const agentKeys = { accessKey: 'AGENTKEY', secretKey: 'agent-secret-key' };

/** Labels of a hardened image, of one without readiness, and of a legacy one. */
export const hardened = {
  [labels.role]: 'agent',
  [labels.version]: '0.2.0',
  [labels.readiness]: '1',
};
export const earlier = { [labels.role]: 'agent', [labels.version]: '0.1.0' };
export const legacy = { [labels.system]: 'rancher-agent' };

/** The container that the worker runs in. */
export const detailsOfWorker: ContainerDetails = {
  id: 'f'.repeat(64),
  name: 'rancher-agent-worker',
  image: 'rancher/agent:wanted',
  imageId: 'sha256:0',
  labels: { [labels.role]: 'worker' },
  environment: {},
  command: ['/run.sh', 'worker', 'upgrade'],
  binds: ['/var/run/docker.sock:/var/run/docker.sock'],
  privileged: true,
  state: 'running',
  exitCode: 0,
  createdAt: startedAt,
  startedAt,
  finishedAt: undefined,
  restartCount: 0,
  restartPolicy: 'no',
};

export interface Executed extends ExecuteCall {
  readonly id: string;
}

export class WorkerScene {
  readonly clock = new SceneClock();
  readonly containers = new Map<string, ContainerDetails>();
  readonly executed: Executed[] = [];
  readonly told: string[] = [];
  readonly lines: string[] = [];
  readonly stop = new AbortController();
  /** Aborted at the end of the worker's own time. */
  readonly life = new AbortController();
  readonly work: Work;
  /** How a command in a container ends. */
  onExecute: (call: Executed) => ExecuteResult | Promise<ExecuteResult> = () => {
    throw new Error('nothing is to be executed in this scene');
  };
  /** Called before each inspection. It throws where the engine must fail. */
  onInspect: () => void = () => undefined;
  readonly #folder: string;
  #servingTurn = 0;

  private constructor(folder: string, options: SceneOptions) {
    this.#folder = folder;
    const configuration = {
      ...readConfiguration({}, 'host'),
      limits: { ...shortLimits, ...options.limits },
      paths: pathsBelow(join(folder, 'rancher'), join(folder, 'proc')),
    };
    const profile = selectProfile(options.profile ?? 'rancher-1.2', {});
    const secrets = createSecrets();
    const log = createLog({
      format: 'text',
      debug: true,
      secrets,
      destination: { write: (line: string) => this.lines.push(line) },
    });
    const settings = { configuration, profile, names: namesOf(profile), clock: this.clock, log, secrets };
    this.work = {
      ...hostOf({ ...settings, signal: this.stop.signal }, this.#engine()),
      reporter: this.#reporter(),
      own: detailsOfWorker,
      container: detailsOfWorker.id,
      otherWorkers: [],
      ...(options.askedBy === undefined ? {} : { askedBy: options.askedBy }),
    };
  }

  static async create(options: SceneOptions = {}): Promise<WorkerScene> {
    return new WorkerScene(await mkdtemp(join(tmpdir(), 'worker-scene-')), options);
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  /**
   * A container under a name; running, made from a hardened image, with the host's keys, unless the parts say
   * otherwise.
   */
  add(name: string, parts: Partial<ContainerDetails> = {}): ContainerDetails {
    const number = this.containers.size + 1;
    const details: ContainerDetails = {
      id: String(number).repeat(64),
      name,
      image: 'rancher/agent:wanted',
      imageId: `sha256:${number}`,
      labels: hardened,
      environment: environmentFor('http://127.0.0.1:9/v1'),
      command: ['/run.sh', 'run'],
      binds: ['/var/run/docker.sock:/var/run/docker.sock'],
      privileged: true,
      state: 'running',
      pid: 4_000 + number,
      exitCode: 0,
      createdAt: startedAt,
      startedAt,
      finishedAt: undefined,
      restartCount: 0,
      restartPolicy: 'always',
      ...parts,
    };
    this.containers.set(details.id, details);
    return details;
  }

  change(id: string, parts: Partial<ContainerDetails>): void {
    const before = this.containers.get(id);
    if (before !== undefined) this.containers.set(id, { ...before, ...parts });
  }

  async observe(): Promise<Observation> {
    return observeRoles(this.work.engine, this.work.names, () => this.clock.now());
  }

  async observed(name: string): Promise<Observed> {
    const { agent, next, legacy: old, previous } = await this.observe();
    const found = [agent, next, ...old, ...previous].find((each) => each?.name === name);
    if (found === undefined) throw new Error(`there is no ${name} in this scene`);
    return found;
  }

  /** Where a file of a container lies, as the worker sees it. */
  pathIn({ pid = 0 }: Pick<ContainerDetails, 'pid'>, path: string): string {
    return join(this.#folder, 'proc', String(pid), 'root', path);
  }

  async writeIn(container: Pick<ContainerDetails, 'pid'>, path: string, text: string): Promise<void> {
    const file = this.pathIn(container, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }

  async writeReadiness(container: ContainerDetails, parts: Partial<ReadinessResult> = {}): Promise<void> {
    await this.writeIn(container, readinessFile, JSON.stringify(this.readinessOf(container, parts)));
  }

  /** What the next agent would write now. */
  readinessOf(container: ContainerDetails, parts: Partial<ReadinessResult> = {}): ReadinessResult {
    return {
      version: 1,
      container: container.id,
      startedAt: container.startedAt ?? 0,
      restartCount: container.restartCount,
      checkedAt: this.clock.elapsed(),
      server: URL.parse(container.environment['CATTLE_URL'] ?? '')?.origin ?? '',
      ready: parts.failure === undefined,
      passed: [],
      ...parts,
    };
  }

  /** What the agent would write now. */
  async writeServing(container: ContainerDetails, parts: ServingParts = {}): Promise<void> {
    const updatedElapsed = this.clock.elapsed();
    const record = {
      ...servingRecord({ updatedElapsed, ...parts }),
      container: container.id,
      startedAt: container.startedAt,
    };
    await this.writeIn(container, servingFile, JSON.stringify({ ...record, ...parts.forged }));
  }

  /**
   * An agent that is alive: it writes this record now and again after a minute, and its heartbeat every 5 s. The
   * host has slept for an
   * hour, which its uptime counts and `Clock.elapsed` does not.
   */
  async keepServing(container: ContainerDetails, parts: ServingParts = {}): Promise<void> {
    const turn = (this.#servingTurn += 1);
    const every = async (ms: number, write: () => Promise<void>): Promise<void> => {
      if (turn !== this.#servingTurn) return;
      await write();
      this.clock.after(ms, async () => every(ms, write));
    };
    await this.#keepUptime();
    await every(60_000, async () => this.writeServing(container, parts));
    await every(5_000, async () =>
      this.writeIn(container, heartbeatFile, `${this.#uptime()} 60 ok`.padEnd(255) + '\n'),
    );
  }

  /** The event loop of the agent hangs: record and heartbeat are not written any more. */
  hang(): void {
    this.#servingTurn += 1;
  }

  #uptime(): number {
    return Math.floor(this.clock.elapsed() / 1_000) + 3_600;
  }

  async #keepUptime(): Promise<void> {
    await mkdir(join(this.#folder, 'proc'), { recursive: true });
    await writeFile(join(this.#folder, 'proc/uptime'), `${this.#uptime()}.25 9.50\n`);
    this.clock.after(1_000, async () => this.#keepUptime());
  }

  #engine(): Engine {
    const engine: Partial<Engine> = {
      features: featuresOf('1.41'),
      listContainers: async ({ names = [] }) =>
        Promise.resolve(
          [...this.containers.values()]
            .filter(({ name }) => names.includes(name))
            .map((details) => ({ ...details, command: '', createdAt: details.createdAt ?? 0 })),
        ),
      inspectContainer: async (nameOrId) => {
        this.onInspect();
        const all = [...this.containers.values()];
        return Promise.resolve(all.find(({ id, name }) => id === nameOrId || name === nameOrId));
      },
      execute: async (id, call) => {
        this.executed.push({ id, ...call });
        return this.onExecute({ id, ...call });
      },
    };
    return engine as Engine;
  }

  #reporter(): Reporter {
    return {
      working: async (summary) => {
        this.told.push(summary);
        return Promise.resolve();
      },
      passing: (summary) => this.told.push(summary),
      waiting: async () => Promise.resolve(),
      ended: async () => Promise.resolve(),
      readBefore: async () => Promise.resolve(undefined),
    };
  }
}

export interface SceneOptions {
  readonly limits?: Partial<Limits>;
  readonly profile?: ProfileName;
  readonly askedBy?: NonNullable<Work['askedBy']>;
}

export interface ServingParts extends Partial<Omit<ServingRecord, 'bootstrap'>> {
  readonly bootstrap?: Partial<ServingRecord['bootstrap']>;
  /** False values that replace the true ones in the record. */
  readonly forged?: Partial<ServingRecord>;
}

/** A record of an agent whose first bootstrap has not begun. */
export function servingRecord({ bootstrap, ...parts }: ServingParts = {}): ServingRecord {
  const record: ServingRecord & { forged?: unknown } = {
    version: 1,
    container: '',
    startedAt: 0,
    serving: 'no',
    since: new Date(startedAt).toISOString(),
    updatedAt: new Date(startedAt).toISOString(),
    updatedElapsed: 0,
    server: 'http://server:8080',
    ...parts,
    bootstrap: { runs: 0, failuresInARow: 0, good: 0, ...bootstrap },
  };
  delete record.forged;
  return record;
}

export function lastExit(
  parts: Partial<NonNullable<ServingRecord['bootstrap']['lastExit']>> = {},
): NonNullable<ServingRecord['bootstrap']['lastExit']> {
  return {
    at: new Date(startedAt).toISOString(),
    status: 1,
    signal: null,
    ms: 800,
    byDesign: false,
    ...parts,
  };
}

export function environmentFor(url: string): Readonly<Record<string, string>> {
  return {
    CATTLE_URL: url,
    CATTLE_ACCESS_KEY: agentKeys.accessKey,
    CATTLE_SECRET_KEY: agentKeys.secretKey,
  };
}

export function failureWith(parts: Partial<ReadinessFailure> = {}): ReadinessFailure {
  return {
    check: 'curl',
    fault: 'way',
    cause: 'ready-curl-tls',
    message: 'curl does not trust the server',
    hint: 'look at the certificate',
    ...parts,
  };
}
