import * as v from 'valibot';
import { deadlineIn, formatDuration, type Deadline } from '../../support/deadline.ts';
import { ConfigurationError, ServerUnavailableError } from '../../support/errors.ts';
import { describeBody, notTheServer, parseJson, quote, readApiAnswer } from '../http/answer.ts';
import type { Credentials, HttpResponse } from '../http/message.ts';
import type { Connection } from '../http/connection.ts';
import { describeUrl, encodeSegment, moveToOrigin, type ServerUrl } from '../url.ts';
import { waitForServer } from './wait.ts';

const schema = v.object({
  id: v.string(),
  collectionMethods: v.optional(v.nullable(v.array(v.string()))),
  links: v.optional(v.record(v.string(), v.unknown())),
});
type Schema = v.InferOutput<typeof schema>;

const schemaCollection = v.object({ data: v.array(schema) });

const projectCollection = v.object({
  data: v.array(v.object({ id: v.string(), links: v.object({ schemas: v.optional(v.string()) }) })),
});

const registrationToken = v.object({
  id: v.string(),
  state: v.optional(v.nullable(v.string())),
  transitioning: v.optional(v.nullable(v.string())),
  transitioningMessage: v.optional(v.nullable(v.string())),
  registrationUrl: v.optional(v.nullable(v.string())),
});
type RegistrationToken = v.InferOutput<typeof registrationToken>;

const tokenCollection = v.object({ data: v.array(registrationToken) });

/** The registration URL, and what the server answers there if that was asked already. */
export interface ResolvedUrl {
  readonly registrationUrl: string;
  readonly response: HttpResponse | undefined;
}

export interface ResolveRequest {
  readonly server: ServerUrl;
  /** `CATTLE_ACCESS_KEY`/`CATTLE_SECRET_KEY` of an account, for servers with access control. */
  readonly credentials?: Credentials | undefined;
}

/**
 * Waits for the server and turns any form of URL of control-plane §2.1 into the URL of the registration script, by
 * the steps of §2.4. A URL that holds a token *is* the registration URL: whatever the server answers there, it never
 * leads to another environment's token (§2.4, "Trap").
 *
 * @throws ServerUnavailableError, ConfigurationError, NotPermittedError
 */
export async function resolveRegistrationUrl(
  connection: Connection,
  { server, credentials }: ResolveRequest,
): Promise<ResolvedUrl> {
  const hasToken = server.token !== undefined;
  const response = await waitForServer(connection, {
    url: server.href,
    hasToken,
    ...(hasToken ? {} : { credentials }),
  });
  if (hasToken || response.text.startsWith('#!/bin/sh')) {
    return { registrationUrl: server.href, response };
  }
  const api = new Api(connection, server.href, credentials);
  const schemas = await api.loadSchemas(response);
  const tokens = await findTokenSchema(api, schemas);
  const token = await obtainToken(api, collectionOf(tokens));
  return { registrationUrl: token, response: undefined };
}

/** Requests to the server that was asked first: links are followed at its origin only, where the keys belong. */
class Api {
  readonly connection: Connection;
  private readonly origin: string;
  private readonly credentials: Credentials | undefined;

  constructor(connection: Connection, origin: string, credentials: Credentials | undefined) {
    this.connection = connection;
    this.origin = origin;
    this.credentials = credentials;
  }

  async request(method: 'GET' | 'POST', link: string, body?: unknown): Promise<HttpResponse> {
    return await this.connection.client.request({
      method,
      url: moveToOrigin(link, this.origin),
      credentials: this.credentials,
      repeat: method === 'GET',
      ...(body === undefined ? {} : { body }),
    });
  }

  /** Loads the schemas named by an answer's `X-API-Schemas`; without that header the answer itself must hold them. */
  async loadSchemas(first: HttpResponse): Promise<readonly Schema[]> {
    const link = first.headers['x-api-schemas'];
    if (link === undefined && parseJson(first.text) === undefined) {
      throw new ServerUnavailableError(
        `${describeUrl(first.url)} is not a Rancher API: it answers with ${describeBody(first)}`,
        { hint: notTheServer },
      );
    }
    const response = link === undefined ? first : await this.request('GET', link);
    return readApiAnswer('load the API schemas', response, schemaCollection).data;
  }
}

/** The schema with which registration tokens can be created: of the environment given, else of the default one. */
async function findTokenSchema(api: Api, schemas: readonly Schema[]): Promise<Schema> {
  const own = findSchema(schemas, 'registrationToken');
  if (own !== undefined && canCreate(own)) return own;
  const projects = findSchema(schemas, 'project');
  if (projects === undefined) throw noDefaultEnvironment();
  const response = await api.request('GET', withQuery(collectionOf(projects), 'uuid', 'adminProject'));
  const [project] = readApiAnswer('find the default environment', response, projectCollection).data;
  const link = project?.links.schemas;
  if (link === undefined) throw noDefaultEnvironment();
  const inside = await api.request('GET', link);
  const found = findSchema(
    readApiAnswer('load the schemas of the default environment', inside, schemaCollection).data,
    'registrationToken',
  );
  if (found === undefined || !canCreate(found)) throw noDefaultEnvironment();
  return found;
}

/** The URL of the first active registration token; creates one if there is none. */
async function obtainToken(api: Api, collection: string): Promise<string> {
  const { limits, clock } = api.connection;
  const deadline = deadlineIn(limits.RESOLVE_TOTAL, clock);
  const list = await api.request('GET', withQuery(collection, 'state', 'active'));
  const [existing] = readApiAnswer('list registration tokens', list, tokenCollection).data;
  const token = existing ?? (await createToken(api, collection));
  const active = await awaitToken(api, collection, token, deadline);
  if (active.registrationUrl) return active.registrationUrl;
  throw new ServerUnavailableError(
    'the server created a registration token but reports no registration URL',
    {
      hint: 'set the Host Registration URL in the server, or use the URL from "Add Host"',
    },
  );
}

async function createToken(api: Api, collection: string): Promise<RegistrationToken> {
  const response = await api.request('POST', collection, {});
  return readApiAnswer('create a registration token', response, registrationToken);
}

/** Polls by id, as the python client does, until the token has settled. */
async function awaitToken(
  api: Api,
  collection: string,
  first: RegistrationToken,
  deadline: Deadline,
): Promise<RegistrationToken> {
  const { limits, clock, signal } = api.connection;
  let pause = limits.REGISTER_POLL_MIN;
  let token = first;
  while (token.transitioning === 'yes' || !token.registrationUrl) {
    if (deadline.left() === 0) {
      throw new ServerUnavailableError(
        `the registration token is not active after ${formatDuration(limits.RESOLVE_TOTAL)} (state: ${quote(token.state ?? 'unknown')})`,
      );
    }
    await clock.sleep(Math.min(pause, deadline.left()), signal);
    pause = Math.min(limits.REGISTER_POLL_MAX, Math.max(1, pause) * 2);
    const response = await api.request('GET', `${collection}/${encodeSegment(first.id)}`);
    token = readApiAnswer('look at the registration token', response, registrationToken);
    if (token.transitioning === 'error') {
      throw new ServerUnavailableError('the server could not create a registration token', {
        originalMessage: quote(token.transitioningMessage ?? '') || 'no reason given',
      });
    }
    if (token.transitioning !== 'yes') return token;
  }
  return token;
}

/** Server and schema ids are looked up without regard to case (control-plane §1.9). */
function findSchema(schemas: readonly Schema[], id: string): Schema | undefined {
  return schemas.find((each) => each.id.toLowerCase() === id.toLowerCase());
}

function canCreate({ collectionMethods }: Schema): boolean {
  return collectionMethods?.includes('POST') === true;
}

function collectionOf({ id, links }: Schema): string {
  const link = links?.['collection'];
  if (typeof link === 'string' && URL.canParse(link)) return link;
  throw new ServerUnavailableError(`the API's schema of ${id} has no link to its collection`);
}

function withQuery(link: string, name: string, value: string): string {
  const url = new URL(link);
  url.searchParams.set(name, value);
  return url.href;
}

function noDefaultEnvironment(): ConfigurationError {
  return new ConfigurationError('the server has no default environment in which hosts could be registered', {
    hint: 'use the registration URL from "Add Host" of the environment that the host shall join',
  });
}
