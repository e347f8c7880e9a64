import { labels } from '../../../src/agent/identity/roles.ts';
import type {
  ContainerDetails,
  ContainerFilter,
  ContainerSpec,
  ContainerState,
  ContainerSummary,
  RestartPolicy,
} from '../../../src/engine/engine.ts';
import { EngineError } from '../../../src/engine/errors.ts';
import type { Clock } from '../../../src/support/clock.ts';
import type { Environment } from '../../../src/support/configuration.ts';

/**
 * A Docker host in memory, with its own time: unique names, restart policies, crash loops, containers that cannot be
 * removed, power cuts. What it does follows engine-notes §2 and §3; `old` is the engine of the incident (1.10.3, API
 * 1.22).
 */

/** What happens to a container that is created from an image. */
export type Health =
  | 'good'
  /** The engine cannot start it; it stays `created`, with an error. */
  | 'start-fails'
  /** Exits 50 ms after each start. */
  | 'exits-at-once'
  /** Exits 4 s after each start: after the standby, before the end of the verification. */
  | 'exits-soon'
  /** Stays up on standby, and exits half a second after it has become active. */
  | 'fails-when-active';

export interface SimulatedImage {
  readonly reference: string;
  readonly id: string;
  /** Its `run` is the hardened one: it becomes active only under the agent's name. */
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
  /** The state of the container without its process, which may exit and be restarted. */
  body: 'created' | 'started' | 'exited' | 'paused' | 'dead';
  startedAt: number | undefined;
  /** When it got the agent's name. */
  activeSince: number | undefined;
  startError: string;
  removal: Removal;
  /** `docker stop` never answers and changes nothing: a hung shim. */
  readonly stoppable: boolean;
}

/** The process that held this engine connection was killed: it does nothing more. */
export class ProcessDied extends Error {}

/** A clock that moves only with a sleep or a call to the engine. */
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
  /** Other names under which a hardened agent is active. */
  readonly legacyNames: readonly string[];
  readonly old: boolean;
}

/** The host itself: everything that remains when a process dies. */
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

  /** Containers that are created from this image from now on cannot be removed. */
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

  /** Whether it is active as an agent: a legacy agent is under any name, a hardened one only under the agent's name. */
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

  /** A power cut and a boot: a container with the policy `always` runs again, even if a person had stopped it. */
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

  /** From which time on its process exits soon after each start; undefined: never. */
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
