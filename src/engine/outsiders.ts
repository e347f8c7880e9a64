import { DeadlineError } from '../support/deadline.ts';
import { EngineUnavailableError } from '../support/errors.ts';
import type { Clock } from '../support/clock.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { ContainerDetails, ContainerFilter, ContainerSummary } from './engine.ts';
import { AnswerTooLargeError } from './transport.ts';

/*
 * A user of the engine may keep it from answering about a container: a slow read of its archive holds its lock, and labels of
 * 70 MB give an inspection that nobody reads to its end. Under one of our names, such a container would stop every upgrade. A
 * list needs no lock, and shows the network: what is not on the host's network is no managed agent and no worker, and an
 * unprivileged user cannot create one that is. Of any other container, nothing but its own answer counts.
 */

/** Knows containers that are not on the host's network, and about which the engine gives no answer that could be read. */
export class Outsiders {
  readonly #list: (filter: ContainerFilter) => Promise<readonly ContainerSummary[]>;
  readonly #limits: Limits;
  readonly #clock: Clock;
  /** When it is asked again, by the name or id that it was asked by. */
  readonly #askedAgainAt = new Map<string, number>();

  constructor(
    list: (filter: ContainerFilter) => Promise<readonly ContainerSummary[]>,
    limits: Limits,
    clock: Clock,
  ) {
    this.#list = list;
    this.#limits = limits;
    this.#clock = clock;
  }

  /**
   * An inspection, or what the list shows: its labels, binds and environment stay empty, so that it never looks managed.
   * @throws what `ask` throws, if the list does not show that the container is an outsider
   */
  async inspectOr(
    nameOrId: string,
    ask: () => Promise<ContainerDetails | undefined>,
  ): Promise<ContainerDetails | undefined> {
    if ((this.#askedAgainAt.get(nameOrId) ?? 0) > this.#clock.elapsed()) {
      const known = await this.#find(nameOrId);
      if (known !== undefined) return known;
    }
    try {
      return await ask();
    } catch (error) {
      const found = isWithoutAnswer(error) ? await this.#find(nameOrId) : undefined;
      if (found === undefined) throw error;
      this.#remember(nameOrId, found.id);
      return found;
    }
  }

  async #find(nameOrId: string): Promise<ContainerDetails | undefined> {
    const isId = /^[0-9a-f]{64}$/.test(nameOrId);
    const filter = isId ? { ids: [nameOrId] } : { names: [nameOrId] };
    const [found] = await this.#list(filter).catch(() => []);
    if (found?.networkMode === undefined || found.networkMode === 'host') return undefined;
    return detailsOf(found, found.networkMode);
  }

  /** Otherwise each look would take as long as the first one. */
  #remember(...keys: readonly string[]): void {
    const now = this.#clock.elapsed();
    for (const [key, at] of this.#askedAgainAt) if (at <= now) this.#askedAgainAt.delete(key);
    for (const key of keys) this.#askedAgainAt.set(key, now + this.#limits.OUTSIDER_KNOWN);
  }
}

/** The engine itself may be well: it gave no answer in time, or one that is too large. */
function isWithoutAnswer(error: unknown): boolean {
  if (!(error instanceof EngineUnavailableError)) return false;
  return error.cause instanceof DeadlineError || error.cause instanceof AnswerTooLargeError;
}

function detailsOf(listed: ContainerSummary, networkMode: string): ContainerDetails {
  const { id, name, image, imageId, command, state, createdAt } = listed;
  return {
    ...{ id, name, image, imageId, state, createdAt, networkMode, command: [command] },
    ...{ labels: {}, environment: {}, binds: [], privileged: false },
    ...{ exitCode: 0, startedAt: undefined, finishedAt: undefined, restartCount: 0, restartPolicy: '' },
  };
}
