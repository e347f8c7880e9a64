import { labels } from '../../../src/agent/identity/roles.ts';
import type {
  ContainerDetails,
  ContainerFilter,
  ContainerSpec,
  ContainerState,
  ContainerSummary,
  Engine,
  RestartPolicy,
} from '../../../src/engine/engine.ts';
import { EngineError } from '../../../src/engine/errors.ts';
import { featuresOf } from '../../../src/engine/features.ts';
import type { Clock } from '../../../src/support/clock.ts';
import type { Environment } from '../../../src/support/configuration.ts';
import { EngineUnavailableError } from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';

/**
 * A Docker host in memory, with time of its own: unique names, restart policies, crash loops, containers that can't be
 * removed, power cuts. What it does follows engine-notes §2 and §3; `old` is the engine of the incident (1.10.3, API 1.22).
 */

/** How a container made from an image fares. */
export type Health =
  | 'good'
  /** The engine can't start it; it stays `created`, with an error. */
  | 'start-fails'
  /** Ends 50 ms after each start. */
  | 'exits-at-once'
  /** Ends 4 s after each start: later than the stand-by, earlier than the verification. */
  | 'exits-soon'
  /** On standby for ever, and ends half a second after it begins to act. */
  | 'fails-when-active';

export interface SimulatedImage {
  readonly reference: string;
  readonly id: string;
  /** Its `run` is ours: it acts only under the agent's name. */
  readonly canStandBy: boolean;
  /** Its `run` proves on standby that it can serve. */
  readonly checksReadiness?: boolean;
  readonly health: Health;
}

/** What `DELETE` does: `dies` is a 500 that leaves it dead, `hangs` never answers and changes nothing. */
export type Removal = 'works' | 'dies' | 'hangs';

export interface SimulatedContainer {
  readonly id: string;
  name: string;
  readonly image: SimulatedImage;
  readonly labels: Readonly<Record<string, string>>;
  readonly environment: Environment;
  readonly privileged: boolean;
  readonly binds: readonly string[];
  policy: RestartPolicy;
  /** What it is apart from its process, which may come and go by itself. */
  body: 'created' | 'started' | 'exited' | 'paused' | 'dead';
  startedAt: number | undefined;
  /** Since when it has the agent's name. */
  activeSince: number | undefined;
  startError: string;
  removal: Removal;
  /** `docker stop` never answers and changes nothing: a hung shim. */
  readonly stoppable: boolean;
}

/** The process that held this engine connection was killed: it does nothing and sees nothing from here on. */
export class ProcessDied extends Error {}

/** A clock that goes on only when somebody sleeps or the engine takes its time. */
export class VirtualClock implements Clock {
  #now = Date.UTC(2026, 0, 1);
  elapsed(): number {
    return this.now();
  }

  now(): number {
    return this.#now;
  }
  advance(ms: number): void {
    this.#now += ms;
  }
  // eslint-disable-next-line @typescript-eslint/require-await -- a sleep rejects, it doesn't throw
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#now += ms;
  }
  random(): number {
    return 0.5;
  }
}

const firstRestartPause = 100;
const longestRestartPause = 60_000;
const lives: Readonly<Record<Health, number | undefined>> = {
  good: undefined,
  'start-fails': undefined,
  'exits-at-once': 50,
  'exits-soon': 4_000,
  'fails-when-active': 500,
};

interface Process {
  readonly state: ContainerState;
  readonly startedAt: number | undefined;
  readonly restartCount: number;
}

export interface HostOptions {
  readonly agentName: string;
  /** Names under which an agent of ours acts as well. */
  readonly legacyNames: readonly string[];
  readonly old: boolean;
}

/** The host itself: what stays when a process dies. */
export class SimulatedHost {
  readonly clock = new VirtualClock();
  readonly agentName: string;
  readonly legacyNames: readonly string[];
  readonly old: boolean;
  readonly #images = new Map<string, SimulatedImage>();
  readonly #unremovable = new Set<SimulatedImage>();
  readonly #containers = new Map<string, SimulatedContainer>();
  #lastId = 0;

  constructor(options: HostOptions) {
    this.agentName = options.agentName;
    this.legacyNames = options.legacyNames;
    this.old = options.old;
  }

  addImage(image: SimulatedImage): void {
    this.#images.set(image.reference, image);
  }

  /** What is made from an image from now on can't be removed. */
  breakRemovalOf(image: SimulatedImage): void {
    this.#unremovable.add(image);
  }

  add(parts: Partial<SimulatedContainer> & Pick<SimulatedContainer, 'name' | 'image'>): SimulatedContainer {
    this.#lastId += 1;
    const container: SimulatedContainer = {
      id: String(this.#lastId).padStart(12, '0').padEnd(64, '0'),
      labels: {},
      environment: {},
      privileged: true,
      binds: ['/var/run/docker.sock:/var/run/docker.sock'],
      policy: 'always',
      body: 'created',
      startedAt: undefined,
      activeSince: undefined,
      startError: '',
      removal: this.#unremovable.has(parts.image) ? 'dies' : 'works',
      stoppable: true,
      ...parts,
    };
    this.#containers.set(container.id, container);
    if (container.name === this.agentName) container.activeSince = this.clock.now();
    return container;
  }

  containers(): readonly SimulatedContainer[] {
    return [...this.#containers.values()];
  }

  named(name: string): SimulatedContainer | undefined {
    return this.containers().find((container) => container.name === name);
  }

  stateOf(container: SimulatedContainer): ContainerState {
    return this.processOf(container).state;
  }

  isUp(container: SimulatedContainer): boolean {
    return ['running', 'restarting', 'paused'].includes(this.stateOf(container));
  }

  /** Whether it works as an agent: upstream's does under any name, ours under the agent's alone. */
  isActive(container: SimulatedContainer): boolean {
    const isActiveName = [this.agentName, ...this.legacyNames].includes(container.name);
    return this.isUp(container) && (!container.image.canStandBy || isActiveName);
  }

  processOf(container: SimulatedContainer): Process {
    const { body, startedAt } = container;
    if (body !== 'started') return { state: body, startedAt, restartCount: 0 };
    const life = lives[container.image.health];
    const fallsFrom = this.#failsFrom(container);
    if (life === undefined || fallsFrom === undefined)
      return { state: 'running', startedAt, restartCount: 0 };
    return this.#crashLoop(container, fallsFrom + life, life);
  }

  /** The power fails and comes back: what has the policy `always` runs again, even if it had been stopped by hand. */
  reboot(): void {
    this.clock.advance(30_000);
    for (const container of this.containers()) {
      if (container.body === 'dead') {
        if (this.old) this.#containers.delete(container.id);
        continue;
      }
      const comesBack = container.policy === 'always' && (container.body !== 'created' || this.old);
      if (comesBack) this.#launch(container);
      else if (container.body !== 'created') container.body = 'exited';
    }
    this.clock.advance(2_000);
  }

  create(name: string, spec: ContainerSpec): string {
    const image = this.#images.get(spec.image);
    if (image === undefined) throw new EngineError('create', 404, `No such image: ${spec.image}`);
    this.#checkNameIsFree(name);
    const { environment, privileged, binds, restart: policy } = spec;
    return this.add({ name, image, labels: spec.labels, environment, privileged, binds, policy }).id;
  }

  start(id: string): void {
    const container = this.#get(id);
    if (container.body === 'dead') throw new EngineError('start', this.old ? 500 : 409, 'marked for removal');
    if (container.body === 'paused') throw new EngineError('start', 409, 'cannot start a paused container');
    if (this.isUp(container)) return;
    this.#launch(container);
    if (container.startError !== '') throw new EngineError('start', 500, container.startError);
  }

  stop(id: string): void {
    const container = this.#get(id);
    if (container.body === 'paused' && this.old)
      throw new EngineError('stop', 500, 'Unpause the container before stopping');
    if (!this.isUp(container)) return;
    this.clock.advance(1_000);
    container.startedAt = this.processOf(container).startedAt;
    container.body = 'exited';
  }

  rename(id: string, name: string): void {
    const container = this.#get(id);
    if (container.body === 'dead' && this.old)
      throw new EngineError('rename', 404, 'open config.v2.json: no such file');
    this.#checkNameIsFree(name);
    container.name = name;
    container.activeSince = name === this.agentName ? this.clock.now() : undefined;
  }

  setRestartPolicy(id: string, policy: RestartPolicy): void {
    const container = this.#get(id);
    if (!this.old) container.policy = policy;
  }

  remove(id: string, force: boolean): void {
    const container = this.#containers.get(id);
    if (container === undefined) return;
    if (this.isUp(container) && !force)
      throw new EngineError('remove', 409, 'You cannot remove a running container');
    if (container.removal === 'works') {
      this.#containers.delete(id);
      return;
    }
    container.body = 'dead';
    if (this.old && force) this.#containers.delete(id);
    throw new EngineError('remove', 500, 'Driver overlay failed to remove root filesystem');
  }

  details(id: string): ContainerDetails | undefined {
    const container = this.#containers.get(id);
    if (container === undefined || (container.body === 'dead' && this.old)) return undefined;
    const { name, image, environment, binds, privileged, startError } = container;
    return {
      id,
      name,
      image: image.reference,
      imageId: image.id,
      labels: labelsOf(container),
      environment,
      command: ['run'],
      binds,
      privileged,
      exitCode: startError === '' ? 0 : 127,
      restartPolicy: container.policy,
      createdAt: undefined,
      finishedAt: undefined,
      ...this.processOf(container),
    };
  }

  summaries(filter: ContainerFilter): readonly ContainerSummary[] {
    return this.containers()
      .filter((container) => filter.names?.includes(container.name) ?? true)
      .filter((container) => filter.states?.includes(this.stateOf(container)) ?? true)
      .map((container) => ({
        id: container.id,
        name: container.name,
        image: container.image.reference,
        imageId: container.image.id,
        command: 'run',
        state: this.stateOf(container),
        labels: labelsOf(container),
        createdAt: 0,
      }));
  }

  #launch(container: SimulatedContainer): void {
    if (container.image.health === 'start-fails') {
      container.startError = 'oci runtime error: exec: "run": executable file not found';
      container.body = container.body === 'created' ? 'created' : 'exited';
      return;
    }
    container.body = 'started';
    container.startedAt = this.clock.now();
  }

  /** From when on its lives are short. */
  #failsFrom(container: SimulatedContainer): number | undefined {
    const { startedAt = 0, activeSince, image } = container;
    if (image.health !== 'fails-when-active' || !image.canStandBy) return startedAt;
    return activeSince === undefined ? undefined : Math.max(startedAt, activeSince);
  }

  /** Docker's restart manager: a pause that doubles between two lives. */
  #crashLoop(container: SimulatedContainer, firstEnd: number, life: number): Process {
    let { startedAt } = container;
    let end = firstEnd;
    let pause = firstRestartPause;
    for (let restartCount = 0; ; restartCount += 1) {
      if (this.clock.now() < end) return { state: 'running', startedAt, restartCount };
      if (container.policy === 'no') return { state: 'exited', startedAt, restartCount };
      if (this.clock.now() < end + pause)
        return { state: 'restarting', startedAt, restartCount: restartCount + 1 };
      startedAt = end + pause;
      end = startedAt + life;
      pause = Math.min(pause * 2, longestRestartPause);
    }
  }

  #get(id: string): SimulatedContainer {
    const container = this.#containers.get(id);
    if (container === undefined) throw new EngineError('find', 404, `No such container: ${id}`);
    return container;
  }

  #checkNameIsFree(name: string): void {
    const holder = this.named(name);
    if (holder !== undefined) throw new EngineError('name', 409, `name "${name}" is in use by ${holder.id}`);
  }
}

/** A container has the labels of its image as well as its own. */
function labelsOf({ image, labels: own }: SimulatedContainer): Readonly<Record<string, string>> {
  const proving = image.checksReadiness === true ? { [labels.readiness]: '1' } : {};
  return image.canStandBy ? { [labels.version]: '1', ...proving, ...own } : own;
}

export const changingVerbs = ['create', 'start', 'stop', 'rename', 'setRestartPolicy', 'remove'] as const;
export type Verb = 'list' | 'inspect' | (typeof changingVerbs)[number];

/** One call on its way to the engine; `number` counts from 1 within a connection. */
export interface Call {
  readonly number: number;
  readonly verb: Verb;
  readonly id: string | undefined;
  /** The name a create or rename asks for. */
  readonly toName: string | undefined;
}

export interface Fault {
  /** `die` kills the caller, `timeout` never answers, a number is an HTTP status. */
  readonly kind: 'die' | 'timeout' | 400 | 500;
  readonly effect: 'none' | 'done';
}

export interface ConnectionOptions {
  /** Which fault meets a call, if any. */
  readonly faultOf?: (call: Call) => Fault | undefined;
  /** Told when a call is over, whether it took effect or not. */
  readonly afterCall?: (call: Call) => void;
}

/** What the domain talks to: one process's connection to the host's engine. */
export class SimulatedEngine implements Engine {
  readonly version: Engine['version'];
  readonly features: Engine['features'];
  readonly #host: SimulatedHost;
  readonly #options: ConnectionOptions;
  #calls = 0;
  #dead = false;

  constructor(host: SimulatedHost, options: ConnectionOptions = {}) {
    this.#host = host;
    this.#options = options;
    this.version = { engine: host.old ? '1.10.3' : '20.10.24', api: host.old ? '1.22' : '1.41' };
    this.features = featuresOf(this.version.api);
  }

  get calls(): number {
    return this.#calls;
  }

  async listContainers(filter: ContainerFilter): Promise<readonly ContainerSummary[]> {
    return this.#do('list', undefined, undefined, () => this.#host.summaries(filter));
  }

  async inspectContainer(id: string): Promise<ContainerDetails | undefined> {
    return this.#do('inspect', id, undefined, () => this.#host.details(id));
  }

  async createContainer(name: string, spec: ContainerSpec): Promise<string> {
    return this.#do('create', undefined, name, () => this.#host.create(name, spec));
  }

  async startContainer(id: string): Promise<void> {
    return this.#do('start', id, undefined, () => {
      this.#host.start(id);
    });
  }

  async stopContainer(id: string): Promise<void> {
    return this.#do('stop', id, undefined, () => {
      this.#host.stop(id);
    });
  }

  async renameContainer(id: string, name: string): Promise<void> {
    return this.#do('rename', id, name, () => {
      this.#host.rename(id, name);
    });
  }

  async setRestartPolicy(id: string, policy: RestartPolicy): Promise<void> {
    if (!this.features.restartUpdate) return;
    return this.#do('setRestartPolicy', id, undefined, () => {
      this.#host.setRestartPolicy(id, policy);
    });
  }

  async removeContainer(id: string, options: { readonly force: boolean }): Promise<void> {
    return this.#do('remove', id, undefined, () => {
      this.#host.remove(id, options.force);
    });
  }

  readInfo = notSimulated;
  awaitExit = notSimulated;
  followLog = notSimulated;
  attach = notSimulated;
  followRenames = notSimulated;

  async readLogTail(id: string): Promise<string> {
    return this.#do(
      'inspect',
      id,
      undefined,
      () => `the end of ${this.#host.details(id)?.image ?? 'nothing'}\n`,
    );
  }

  inspectImage = notSimulated;
  pullImage = notSimulated;
  hasVolume = notSimulated;
  execute = notSimulated;

  // eslint-disable-next-line @typescript-eslint/require-await -- an engine call rejects, it doesn't throw
  async #do<T>(verb: Verb, id: string | undefined, toName: string | undefined, work: () => T): Promise<T> {
    if (this.#dead) throw new ProcessDied();
    this.#calls += 1;
    this.#host.clock.advance(20);
    const call: Call = { number: this.#calls, verb, id, toName };
    const fault = this.#options.faultOf?.(call) ?? this.#hangOf(call);
    try {
      if (fault === undefined) return work();
      if (fault.effect === 'done') attempt(work);
      return this.#fail(fault, verb);
    } finally {
      this.#options.afterCall?.(call);
    }
  }

  /** Containers that hang whatever touches them. */
  #hangOf(call: Call): Fault | undefined {
    const container = this.#host.containers().find(({ id }) => id === call.id);
    const hangs =
      (call.verb === 'remove' && container?.removal === 'hangs') ||
      (call.verb === 'stop' && container?.stoppable === false && this.#host.isUp(container));
    return hangs ? { kind: 'timeout', effect: 'none' } : undefined;
  }

  #fail(fault: Fault, verb: Verb): never {
    if (fault.kind === 'die') {
      this.#dead = true;
      throw new ProcessDied();
    }
    if (fault.kind !== 'timeout') throw new EngineError(verb, fault.kind, 'as the fault plan wants it');
    this.#host.clock.advance(defaultLimits.REMOVE);
    throw new EngineUnavailableError(`${verb}: no answer`);
  }
}

/** An engine may do half of what it then reports as failed; its own no changes nothing about that. */
function attempt(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
  }
}

async function notSimulated(): Promise<never> {
  return Promise.reject(new Error('a transaction has no business with this call'));
}
