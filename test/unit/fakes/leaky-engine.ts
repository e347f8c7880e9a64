import type {
  ContainerDetails,
  ContainerFilter,
  ContainerSummary,
  Engine,
  EngineInfo,
} from '../../../src/engine/engine.ts';
import { featuresOf } from '../../../src/engine/features.ts';
import { EngineError } from '../../../src/engine/errors.ts';
import type { Clock } from '../../../src/support/clock.ts';
import { EngineUnavailableError } from '../../../src/support/errors.ts';
import { leakedDetails, leakedSummary } from './leaked.ts';

/** How the engine answers a removal: `unhealthy` is the 500 of a layer that cannot be deleted, `hung` never answers. */
export type Removal = 'works' | 'unhealthy' | 'hung' | 'conflict' | 'pool-full';

export interface Leaked {
  readonly id: string;
  /** In what the list differs from a leaked helper of the incident. */
  readonly listed: Partial<ContainerSummary>;
  /** In what the inspection differs; undefined: the engine cannot inspect it. */
  inspected: Partial<ContainerDetails> | undefined;
  removal: Removal;
}

/** An engine with nothing but leaked helpers, which costs 20 ms of the clock per call. */
export class LeakyEngine implements Pick<
  Engine,
  'features' | 'readInfo' | 'listContainers' | 'inspectContainer' | 'removeContainer'
> {
  readonly features = featuresOf('1.41');
  /** Every call in order: `list`, `inspect a`, `remove a`. */
  readonly calls: string[] = [];
  readonly forced: string[] = [];
  /** Called before each call is done. */
  onCall: (call: string) => void = () => undefined;
  listFails = false;
  storageDriver = 'overlay2';
  driverStatus: EngineInfo['driverStatus'] = [];
  readonly #clock: Clock & { advance(ms: number): void };
  readonly #leaked = new Map<string, Leaked>();

  constructor(clock: Clock & { advance(ms: number): void }) {
    this.#clock = clock;
  }

  /** Adds one, younger than all before. */
  leak(id: string, parts: Partial<Leaked> = {}): Leaked {
    const leaked: Leaked = { id, listed: {}, inspected: {}, removal: 'works', ...parts };
    this.#leaked.set(id, leaked);
    return leaked;
  }

  get left(): readonly string[] {
    return [...this.#leaked.keys()];
  }

  get removals(): readonly string[] {
    return this.calls.filter((call) => call.startsWith('remove')).map((call) => call.slice('remove '.length));
  }

  /** It is not recorded in `calls`, because it changes nothing and few tests are about the storage. */
  async readInfo(): Promise<EngineInfo> {
    const { storageDriver, driverStatus } = this;
    return Promise.resolve({ operatingSystem: '', rootDirectory: '', storageDriver, driverStatus, text: '' });
  }

  async listContainers(filter: ContainerFilter): Promise<readonly ContainerSummary[]> {
    await this.#call('list');
    if (this.listFails) throw new EngineUnavailableError('list containers: no answer within 30 s');
    const listed = [...this.#leaked.values()].map(({ id, listed: parts }) =>
      leakedSummary({ id, name: '', ...parts }),
    );
    return listed.filter(({ state }) => filter.states?.includes(state)).reverse();
  }

  async inspectContainer(id: string): Promise<ContainerDetails | undefined> {
    await this.#call(`inspect ${id}`);
    const parts = this.#leaked.get(id)?.inspected;
    return parts === undefined ? undefined : leakedDetails({ id, name: '', ...parts });
  }

  async removeContainer(id: string, options: { readonly force: boolean }): Promise<void> {
    await this.#call(`remove ${id}`);
    if (options.force) this.forced.push(id);
    const leaked = this.#leaked.get(id);
    switch (leaked?.removal) {
      case 'unhealthy':
        throw new EngineError('remove', 500, `Driver overlay failed to remove root filesystem ${id}`);
      case 'pool-full':
        throw new EngineError(
          'remove',
          500,
          `Driver devicemapper failed to remove root filesystem ${id}: dm_task_run failed`,
        );
      case 'conflict':
        throw new EngineError('remove', 409, 'removal is already in progress');
      case 'hung':
        this.#clock.advance(60_000);
        throw new EngineUnavailableError(`remove container ${id}: no answer within 60 s`);
      case 'works':
      case undefined:
        this.#leaked.delete(id);
    }
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- an engine call rejects, it doesn't throw
  async #call(call: string): Promise<void> {
    this.calls.push(call);
    this.#clock.advance(20);
    this.onCall(call);
  }
}
