import { finished } from 'node:stream/promises';
import { DeadlineError } from '../support/deadline.ts';
import { EntrypointError, messageOf } from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Log } from '../support/log.ts';
import { readDetails, readImage } from './answers.ts';
import { collect } from './container-list.ts';
import { buildCreateBody } from './create-body.ts';
import type {
  ContainerExit,
  ContainerFilter,
  ContainerState,
  Engine,
  EngineVersion,
  ExecuteCall,
  ExecuteResult,
  RestartPolicy,
} from './engine.ts';
import { askInfo } from './engine-info.ts';
import { EngineError } from './errors.ts';
import { executeIn } from './execute.ts';
import { featuresOf, higherVersion, lowerVersion } from './features.ts';
import { copyLog, readLog, readLogRefusal } from './log-stream.ts';
import { followPull, pullQuery } from './pull.ts';
import { readRepeatedly, repeatRead, understand, type EngineOptions } from './reads.ts';
import {
  createTransport,
  readBody,
  unavailable,
  type EngineAnswer,
  type EngineRequest,
  type Transport,
} from './transport.ts';

/**
 * Connects to the Docker engine and learns its API version (`GET /version` without a prefix: the only question that
 * engines from 1.10.3 to 29 answer alike).
 * @throws EngineUnavailableError, NotPermittedError
 */
export async function connectEngine(options: EngineOptions): Promise<Engine> {
  const { socketPath, userAgent, keepsConnections } = options;
  const unversioned = createTransport(socketPath, undefined, userAgent, keepsConnections);
  const answer = await readRepeatedly(options, unversioned, {
    what: 'ask the engine for its version',
    method: 'GET',
    path: '/version',
    accept: [200],
    deadlineMs: options.limits.ENGINE_CONNECT,
  });
  const version = understand('ask the engine for its version', () =>
    readVersion(answer.text, options.apiVersion),
  );
  if (options.apiVersion !== undefined && version.api !== options.apiVersion)
    options.log.warn(
      `the engine does not speak the API version that DOCKER_API_VERSION asks for; ${version.api} is used`,
      { asked: options.apiVersion, engine: version.engine },
    );
  const transport =
    options.apiVersion === undefined
      ? unversioned
      : createTransport(socketPath, version.api, userAgent, keepsConnections);
  return new DockerEngine(options, transport, version);
}

class DockerEngine implements Engine {
  readonly version: EngineVersion;
  readonly features: Engine['features'];
  readonly #options: EngineOptions;
  readonly #transport: Transport;
  readonly #limits: Limits;

  constructor(options: EngineOptions, transport: Transport, version: EngineVersion) {
    this.#options = options;
    this.#transport = transport;
    this.#limits = options.limits;
    this.version = version;
    this.features = featuresOf(version.api);
  }

  async readInfo(): ReturnType<Engine['readInfo']> {
    return askInfo(this.#options, this.#transport);
  }

  async listContainers(filter: ContainerFilter): ReturnType<Engine['listContainers']> {
    const filters = JSON.stringify({
      ...(filter.names === undefined ? {} : { name: filter.names }),
      ...(filter.ids === undefined ? {} : { id: filter.ids }),
      ...(filter.label === undefined ? {} : { label: [filter.label] }),
      ...(filter.states === undefined || !this.#knowsStates(filter.states) ? {} : { status: filter.states }),
    });
    const request: EngineRequest = {
      ...this.#withSignal(),
      what: 'list containers',
      method: 'GET',
      path: '/containers/json',
      query: { all: '1', filters },
      accept: [200],
      deadlineMs: this.#limits.LIST,
    };
    return repeatRead(this.#options, request, async () =>
      this.#transport.requestPieces(request, async (body) => collect(body, filter)),
    );
  }

  async inspectContainer(nameOrId: string): ReturnType<Engine['inspectContainer']> {
    const path = `/containers/${encodeURIComponent(nameOrId)}/json`;
    const what = `inspect container ${nameOrId}`;
    const answer = await this.#read(what, path, [200, 404], this.#limits.INSPECT);
    if (answer.status === 404) return undefined;
    return understand(what, () => readDetails(JSON.parse(answer.text)));
  }

  async createContainer(...[name, spec]: Parameters<Engine['createContainer']>): Promise<string> {
    const answer = await this.#change(
      `create container ${name}`,
      '/containers/create',
      [201],
      this.#limits.CREATE,
      {
        query: { name },
        body: buildCreateBody(spec, this.features),
      },
    );
    const created = understand<unknown>(`create container ${name}`, () => JSON.parse(answer.text));
    if (typeof created === 'object' && created !== null && 'Id' in created) return String(created.Id);
    throw new EngineError(`create container ${name}`, answer.status, answer.text);
  }

  async startContainer(id: string): Promise<void> {
    await this.#change(`start container ${id}`, `/containers/${id}/start`, [204, 304], this.#limits.START);
  }

  async stopContainer(id: string, graceMs: number): Promise<void> {
    await this.#change(
      `stop container ${id}`,
      `/containers/${id}/stop`,
      [204, 304],
      this.#limits.STOP + graceMs,
      {
        query: { t: String(Math.ceil(graceMs / 1000)) },
      },
    );
  }

  async renameContainer(id: string, name: string): Promise<void> {
    await this.#change(
      `rename container ${id} to ${name}`,
      `/containers/${id}/rename`,
      [200, 204],
      this.#limits.RENAME,
      { query: { name } },
    );
  }

  async setRestartPolicy(id: string, policy: RestartPolicy): Promise<void> {
    if (!this.features.restartUpdate) return;
    const body = { RestartPolicy: { Name: policy, MaximumRetryCount: 0 } };
    await this.#change(
      `set the restart policy of ${id} to ${policy}`,
      `/containers/${id}/update`,
      [200, 204],
      this.#limits.RENAME,
      { body },
    );
  }

  async removeContainer(id: string, options: { readonly force: boolean }): Promise<void> {
    await this.#transport.request({
      ...this.#withSignal(),
      what: `remove container ${id}`,
      method: 'DELETE',
      path: `/containers/${id}`,
      query: options.force ? { force: '1' } : {},
      accept: [200, 204, 404],
      deadlineMs: this.#limits.REMOVE,
    });
  }

  async awaitExit(id: string, signal: AbortSignal): ReturnType<Engine['awaitExit']> {
    const request: EngineRequest = {
      what: `wait for container ${id}`,
      method: 'POST',
      path: `/containers/${id}/wait`,
      query: this.features.waitConditions ? { condition: 'next-exit' } : {},
      accept: [200],
      // Below 1.30 the headers arrive only when the container exits.
      deadlineMs: this.features.waitConditions ? this.#limits.INSPECT : this.#limits.FOLLOW_TOTAL,
      signal,
    };
    if (!this.features.waitConditions)
      return { exit: readExit(this.#transport.openStream(request), this.#options.log) };
    const stream = await this.#transport.openStream(request);
    return { exit: readExit(Promise.resolve(stream), this.#options.log) };
  }

  async followLog(...[id, write, signal]: Parameters<Engine['followLog']>): Promise<void> {
    const stream = await this.#transport.openStream({
      what: `follow the log of container ${id}`,
      method: 'GET',
      path: `/containers/${id}/logs`,
      query: { follow: '1', stdout: '1', stderr: '1' },
      accept: [200],
      deadlineMs: this.#limits.INSPECT,
      signal,
    });
    await copyLog(stream, write);
  }

  async readLogTail(id: string): Promise<string> {
    const { LOG_TAIL, LOG_TAIL_LINES, LOG_TAIL_READ } = this.#limits;
    const request: EngineRequest = {
      ...this.#withSignal(),
      what: `read the last log lines of container ${id}`,
      method: 'GET',
      path: `/containers/${id}/logs`,
      query: { stdout: '1', stderr: '1', tail: String(LOG_TAIL_LINES) },
      accept: [200],
      deadlineMs: LOG_TAIL,
    };
    const text = await this.#transport.requestPieces(request, async (body) => readLog(body, LOG_TAIL_READ));
    const refusal = readLogRefusal(text);
    if (refusal !== undefined) throw new EngineError(request.what, 501, refusal);
    return text;
  }

  async followRenames(...[id, onRename, signal]: Parameters<Engine['followRenames']>): Promise<void> {
    const stream = await this.#transport.openStream({
      what: `follow the names of container ${id}`,
      method: 'GET',
      path: '/events',
      query: { filters: JSON.stringify({ container: [id], event: ['rename'] }) },
      accept: [200],
      deadlineMs: this.#limits.INSPECT,
      signal,
    });
    // The content differs between engines, so the callback must inspect the container itself.
    stream.on('data', onRename);
    await finished(stream);
  }

  async inspectImage(reference: string): ReturnType<Engine['inspectImage']> {
    const path = `/images/${encodeImagePath(reference)}/json`;
    const what = `inspect image ${reference}`;
    const answer = await this.#read(what, path, [200, 404], this.#limits.INSPECT);
    return answer.status === 404 ? undefined : understand(what, () => readImage(JSON.parse(answer.text)));
  }

  async pullImage(...[reference, call]: Parameters<Engine['pullImage']>): Promise<void> {
    const { onProgress, auth, totalMs } = call;
    const what = `pull image ${reference}`;
    const { PULL_SILENCE } = this.#limits;
    const given = [call.signal, this.#options.signal].filter((signal) => signal !== undefined);
    const total = AbortSignal.timeout(totalMs);
    try {
      const stream = await this.#transport.openStream({
        what,
        method: 'POST',
        path: '/images/create',
        query: pullQuery(reference),
        ...(auth === undefined ? {} : { auth }),
        accept: [200],
        deadlineMs: PULL_SILENCE,
        signal: AbortSignal.any([total, ...given]),
      });
      await followPull(stream, { reference, silenceMs: PULL_SILENCE, onProgress });
    } catch (error) {
      for (const signal of given) signal.throwIfAborted();
      if (error instanceof EntrypointError) throw error;
      throw unavailable(what, total.aborted ? new DeadlineError(`${what} to its end`, totalMs) : error);
    }
  }

  async hasVolume(name: string): Promise<boolean> {
    const path = `/volumes/${encodeURIComponent(name)}`;
    const answer = await this.#read(`inspect volume ${name}`, path, [200, 404], this.#limits.INSPECT);
    return answer.status === 200;
  }

  async execute(id: string, call: ExecuteCall): Promise<ExecuteResult> {
    return executeIn(this.#transport, id, call);
  }

  async #read(
    what: string,
    path: string,
    accept: readonly number[],
    deadlineMs: number,
    query: Readonly<Record<string, string>> = {},
  ): Promise<EngineAnswer> {
    const request: EngineRequest = {
      ...this.#withSignal(),
      what,
      method: 'GET',
      path,
      query,
      accept,
      deadlineMs,
    };
    return readRepeatedly(this.#options, this.#transport, request);
  }

  async #change(
    what: string,
    path: string,
    accept: readonly number[],
    deadlineMs: number,
    rest: Pick<EngineRequest, 'query' | 'body'> = {},
  ): Promise<EngineAnswer> {
    const request: EngineRequest = {
      ...this.#withSignal(),
      ...rest,
      what,
      method: 'POST',
      path,
      accept,
      deadlineMs,
    };
    return this.#transport.request(request);
  }

  /** `removing` is a 500 on engines that do not know it (1.10.3); their lists are then filtered on the client alone. */
  #knowsStates(states: readonly ContainerState[]): boolean {
    return !states.includes('removing') || lowerVersion('1.25', this.version.api) === '1.25';
  }

  #withSignal(): { signal?: AbortSignal } {
    return this.#options.signal === undefined ? {} : { signal: this.#options.signal };
  }
}

/**
 * A pinned version that the engine does not know, or no longer takes (26: below 1.24, 29: below 1.44), is corrected: the
 * engine may have been upgraded since the version was pinned, and every call with the old version would fail with 400.
 */
function readVersion(body: string, pinned: string | undefined): EngineVersion {
  const answer: unknown = JSON.parse(body);
  const fields = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
  const textOf = (name: string) => (typeof fields[name] === 'string' ? fields[name] : undefined);
  const newest = textOf('ApiVersion') ?? '1.22';
  const engine = textOf('Version') ?? 'unknown';
  if (pinned === undefined) return { engine, api: newest };
  return { engine, api: lowerVersion(newest, higherVersion(textOf('MinAPIVersion') ?? pinned, pinned)) };
}

async function readExit(opening: ReturnType<Transport['openStream']>, log: Log): Promise<ContainerExit> {
  try {
    const answer: unknown = JSON.parse(await readBody(await opening));
    if (typeof answer === 'object' && answer !== null && 'StatusCode' in answer) {
      return { status: Number(answer.StatusCode) };
    }
    return 'gone';
  } catch (error) {
    // The container was removed while we waited, or the connection was lost: the caller inspects again.
    log.debug('cannot wait for a container any longer', { error: messageOf(error) });
    return 'gone';
  }
}

/** Slashes of a repository path stay; everything else that a URL cannot hold is encoded. */
function encodeImagePath(reference: string): string {
  return reference.split('/').map(encodeURIComponent).join('/');
}
