import { finished } from 'node:stream/promises';
import { systemClock } from '../support/clock.ts';
import { fixedLimits } from '../support/limits/fixed.ts';
import type { Limits } from '../support/limits/limits.ts';
import { readDetails, readImage, readVersion } from './answers.ts';
import { awaitExitOver } from './await-exit.ts';
import { collect } from './container-list.ts';
import { describeContainer, shortId } from './containers.ts';
import { buildCreateBody } from './create-body.ts';
import type {
  ContainerFilter,
  ContainerState,
  ContainerSummary,
  Engine,
  EngineVersion,
  ExecuteCall,
  ExecuteResult,
  RestartPolicy,
} from './engine.ts';
import { askInfo } from './engine-info.ts';
import { EngineError } from './errors.ts';
import { executeIn } from './execute.ts';
import { featuresOf, lowerVersion } from './features.ts';
import type { Shape } from './json/skimmer.ts';
import { copyLog, readLog, readLogRefusal } from './log-stream.ts';
import { Outsiders } from './outsiders.ts';
import { pullOver } from './pull.ts';
import { readRepeatedly, repeatRead, understand, type EngineOptions } from './reads.ts';
import { detailsShape, imageShape } from './json/shapes.ts';
import { createTransport, type EngineAnswer, type EngineRequest, type Transport } from './transport.ts';

/**
 * Connects to the Docker engine and learns its API version (`GET /version` without a prefix: the only question that
 * engines from 1.10.3 to 29 answer alike).
 * @throws EngineUnavailableError, NotPermittedError
 */
export async function connectEngine(options: EngineOptions): Promise<Engine> {
  const { socketPath, userAgent, keepsConnections, whenRefused } = options;
  const unversioned = createTransport(socketPath, undefined, userAgent, keepsConnections, whenRefused);
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
      : createTransport(socketPath, version.api, userAgent, keepsConnections, whenRefused);
  return new DockerEngine(options, transport, version);
}

class DockerEngine implements Engine {
  readonly version: EngineVersion;
  readonly features: Engine['features'];
  readonly #options: EngineOptions;
  readonly #transport: Transport;
  readonly #limits: Limits;
  readonly #outsiders: Outsiders;
  #hasWarned = false;

  constructor(options: EngineOptions, transport: Transport, version: EngineVersion) {
    this.#options = options;
    this.#transport = transport;
    this.#limits = options.limits;
    const list = async (filter: ContainerFilter): Promise<readonly ContainerSummary[]> =>
      this.#list(filter, Math.min(options.limits.LIST_ONE, options.limits.INSPECT));
    this.#outsiders = new Outsiders(list, options.limits, options.clock ?? systemClock);
    this.version = version;
    this.features = featuresOf(version.api);
  }

  async readInfo(): ReturnType<Engine['readInfo']> {
    return askInfo(this.#options, this.#transport);
  }

  async listContainers(filter: ContainerFilter): ReturnType<Engine['listContainers']> {
    return repeatRead(this.#options, { what: listWhat }, async () => this.#list(filter, this.#limits.LIST));
  }

  async #list(filter: ContainerFilter, deadlineMs: number): ReturnType<Engine['listContainers']> {
    const filters = JSON.stringify({
      ...(filter.names === undefined ? {} : { name: filter.names }),
      ...(filter.ids === undefined ? {} : { id: filter.ids }),
      ...(filter.label === undefined ? {} : { label: [filter.label] }),
      ...(filter.states === undefined || !this.#knowsStates(filter.states) ? {} : { status: filter.states }),
    });
    const request: EngineRequest = {
      ...this.#withSignal(),
      what: listWhat,
      method: 'GET',
      path: '/containers/json',
      query: { all: '1', filters },
      accept: [200],
      deadlineMs,
    };
    return this.#transport.requestPieces(request, async (body) =>
      collect(body, { filter, onTooLarge: this.#warnOfSize }),
    );
  }

  async inspectContainer(nameOrId: string): ReturnType<Engine['inspectContainer']> {
    const path = `/containers/${encodeURIComponent(nameOrId)}/json`;
    const what = `inspect container ${nameOrId}`;
    const request = this.#readRequest(what, path, [200, 404], this.#limits.INSPECT, detailsShape);
    return repeatRead(this.#options, request, async () =>
      this.#outsiders.inspectOr(nameOrId, async () => {
        const answer = await this.#transport.request(request);
        if (answer.status === 404) return undefined;
        const details = understand(what, () => readDetails(JSON.parse(answer.text)));
        if (answer.isSkimmed) this.#warnOfSize(details, fixedLimits.ENGINE_ANSWER);
        return details;
      }),
    );
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
    const { log, limits } = this.#options;
    return awaitExitOver(this.#transport, id, { features: this.features, limits, log, signal });
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

  async attach(...[id, signal]: Parameters<Engine['attach']>): ReturnType<Engine['attach']> {
    const stream = await this.#transport.openStream({
      what: `attach to container ${id}`,
      method: 'POST',
      path: `/containers/${id}/attach`,
      query: { stream: '1', stdout: '1', stderr: '1' },
      accept: [200],
      deadlineMs: this.#limits.INSPECT,
      signal,
    });
    return async (write) => copyLog(stream, write);
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
    const answer = await this.#read(what, path, [200, 404], this.#limits.INSPECT, imageShape);
    return answer.status === 404 ? undefined : understand(what, () => readImage(JSON.parse(answer.text)));
  }

  async pullImage(...[reference, call]: Parameters<Engine['pullImage']>): Promise<void> {
    await pullOver(this.#transport, reference, {
      ...call,
      silenceMs: this.#limits.PULL_SILENCE,
      signals: [call.signal, this.#options.signal].filter((signal) => signal !== undefined),
    });
  }

  async hasVolume(name: string): Promise<boolean> {
    const path = `/volumes/${encodeURIComponent(name)}`;
    const what = `inspect volume ${name}`;
    // Only the status counts, and a volume may have any number of labels.
    const nothing: Shape = { members: {} };
    return (await this.#read(what, path, [200, 404], this.#limits.INSPECT, nothing)).status === 200;
  }

  async execute(id: string, call: ExecuteCall): Promise<ExecuteResult> {
    return executeIn(this.#transport, id, call);
  }

  async #read(
    what: string,
    path: string,
    accept: readonly number[],
    deadlineMs: number,
    shape: Shape,
  ): Promise<EngineAnswer> {
    const request = this.#readRequest(what, path, accept, deadlineMs, shape);
    return readRepeatedly(this.#options, this.#transport, request);
  }

  #readRequest(
    what: string,
    path: string,
    accept: readonly number[],
    deadlineMs: number,
    shape: Shape,
  ): EngineRequest {
    return { ...this.#withSignal(), what, method: 'GET', path, accept, deadlineMs, shape };
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

  /** Once: a container that is too large is in every list. */
  readonly #warnOfSize = (
    container: Pick<ContainerSummary, 'name' | 'id' | 'image'>,
    atLeast: number,
  ): void => {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#options.log.warn(
      `the engine describes ${describeContainer(container)} in more than ${Math.floor(atLeast / 1024)} kB, for its labels or ports: it is read in part`,
      { hint: `if nobody needs it: docker rm ${shortId(container.id)}` },
    );
  };

  #withSignal(): { signal?: AbortSignal } {
    return this.#options.signal === undefined ? {} : { signal: this.#options.signal };
  }
}

const listWhat = 'list containers';

/** Slashes of a repository path stay; everything else that a URL cannot hold is encoded. */
function encodeImagePath(reference: string): string {
  return reference.split('/').map(encodeURIComponent).join('/');
}
