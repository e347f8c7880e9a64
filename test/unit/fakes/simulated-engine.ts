import type {
  ContainerDetails,
  ContainerFilter,
  ContainerSpec,
  ContainerSummary,
  Engine,
  RestartPolicy,
} from '../../../src/engine/engine.ts';
import { EngineError } from '../../../src/engine/errors.ts';
import { featuresOf } from '../../../src/engine/features.ts';
import { EngineUnavailableError } from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { ProcessDied, type SimulatedHost } from './simulated-host.ts';

/* The connection of one process to a simulated host, with a fault at any call. */

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
  /** Called when a call is over, whether it took effect or not. */
  readonly afterCall?: (call: Call) => void;
}

/** The engine as a transaction sees it: the connection of one process. */
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

  /** The containers that make a call about them hang. */
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

/** Does the work of a call that will be reported as failed. An error of the engine itself is ignored here. */
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
