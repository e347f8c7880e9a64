import * as v from 'valibot';
import { deadlineIn, formatDuration, type Deadline } from '../../support/deadline.ts';
import { NotPermittedError, ServerUnavailableError, messageOf } from '../../support/errors.ts';
import { quote, readApiAnswer, readApiError } from '../http/answer.ts';
import type { Credentials, HttpRequest, HttpResponse } from '../http/message.ts';
import { enforceAuthentication, lastChance, type Connection } from '../http/connection.ts';
import { encodeSegment, joinUrl } from '../url.ts';

const text = v.optional(v.nullable(v.string()));

const fields = v.object({ accessKey: text, secretKey: text });

const registration = v.object({
  id: v.string(),
  state: text,
  transitioning: text,
  transitioningMessage: text,
  created: text,
  accessKey: text,
  secretKey: text,
  /** Where PastureStack may put them (control-plane §8). */
  data: v.optional(v.nullable(v.object({ fields: v.optional(v.nullable(fields)) }))),
});

const registrations = v.object({ data: v.array(registration) });

/** A `register` resource, as far as it matters here (control-plane §4.1). */
export type Registration = v.InferOutput<typeof registration>;

export type RegistrationStep =
  | { readonly step: 'use'; readonly keys: Credentials }
  | { readonly step: 'create' }
  | { readonly step: 'poll'; readonly id: string }
  | { readonly step: 'fail'; readonly reason: string; readonly originalMessage?: string };

export interface RegisterHostRequest {
  /** `CATTLE_URL`, e.g. `http://h:8080/v1`. */
  readonly cattleUrl: string;
  /** Registration keys from `loadRegistrationEnvironment`. */
  readonly credentials: Credentials;
  /** The host's registration key from `.registration_token`: its identity towards the server. */
  readonly hostKey: string;
}

/**
 * Exchanges the host's registration key for the agent's keys (control-plane §4): list the registrations of the key,
 * create one if there is none, poll it by id until it has settled, list again, because only a list by key shows the
 * keys. A host that was registered before gets the keys it had.
 *
 * Level-triggered: each round begins with the list, so a registration whose creation was answered by a lost
 * connection, or that is removed while we wait, needs no special case; a server that restarts meanwhile is waited
 * for. `REGISTER_TOTAL` ms and `REGISTER_ROUNDS` rounds in all.
 *
 * @throws NotPermittedError for an invalid registration token; ServerUnavailableError for everything else
 */
export async function registerHost(
  connection: Connection,
  request: RegisterHostRequest,
): Promise<Credentials> {
  const { limits, clock, log, secrets, signal } = connection;
  secrets.add(request.hostKey, request.credentials.secretKey);
  const deadline = deadlineIn(limits.REGISTER_TOTAL, clock);
  let last = 'the registration vanished again and again';
  for (let round = 1; round <= limits.REGISTER_ROUNDS && deadline.left() > 0; round++) {
    if (round > 1) await clock.sleep(Math.min(limits.REGISTER_POLL_MAX, deadline.left()), signal);
    const step = chooseStep(await listRegistrations(connection, request, deadline));
    log.debug('registration', { round, step: step.step });
    const outcome = await takeStep(connection, request, step, deadline);
    if (typeof outcome !== 'string') return outcome;
    last = outcome;
  }
  throw new ServerUnavailableError(`the server did not register this host: ${last}`, {
    hint: 'look at Infrastructure > Hosts and the log of the server, then run the command again',
  });
}

/**
 * Decides what to do about the registrations the server has for this host's key (control-plane §4.1–4.3). Of several,
 * the oldest active one is used, so that two agents that raced agree on one.
 */
export function chooseStep(found: readonly Registration[]): RegistrationStep {
  const alive = [...found].sort(byAge).filter(({ state }) => state !== 'removed' && state !== 'purged');
  const active = alive.filter(({ state }) => state === 'active');
  for (const each of active) {
    const keys = readKeys(each);
    if (keys !== undefined) return { step: 'use', keys };
  }
  if (active.length > 0) {
    return { step: 'fail', reason: 'the registration is active but the server reports no keys for it' };
  }
  const staying = alive.filter(({ state }) => state !== 'removing' && state !== 'purging');
  const waiting = staying.find(({ transitioning }) => transitioning === 'yes') ?? staying[0];
  if (waiting === undefined) return { step: 'create' };
  if (waiting.transitioning === 'yes') return { step: 'poll', id: waiting.id };
  return failureOf(waiting);
}

/** Takes a step: the keys, or why there are none yet and another round is worth it. */
async function takeStep(
  connection: Connection,
  request: RegisterHostRequest,
  step: RegistrationStep,
  deadline: Deadline,
): Promise<Credentials | string> {
  switch (step.step) {
    case 'use':
      connection.secrets.add(step.keys.secretKey, step.keys.accessKey);
      return step.keys;
    case 'fail':
      throw registrationFailed(step);
    case 'create': {
      const created = await createRegistration(connection, request, deadline);
      return typeof created === 'string'
        ? created
        : await pollThenList(connection, request, created.id, deadline);
    }
    case 'poll':
      return await pollThenList(connection, request, step.id, deadline);
  }
}

async function pollThenList(
  connection: Connection,
  request: RegisterHostRequest,
  id: string,
  deadline: Deadline,
): Promise<Credentials | string> {
  const settled = await pollRegistration(connection, request, id, deadline);
  if (settled !== 'active') return `the registration is ${settled}`;
  const step = chooseStep(await listRegistrations(connection, request, deadline));
  if (step.step === 'use' || step.step === 'fail') {
    return await takeStep(connection, request, step, deadline);
  }
  return 'the registration disappeared while the server created it';
}

async function listRegistrations(
  connection: Connection,
  request: RegisterHostRequest,
  deadline: Deadline,
): Promise<readonly Registration[]> {
  const response = await ask(connection, request, deadline, {
    method: 'GET',
    url: `${joinUrl(request.cattleUrl, 'register')}?key=${encodeSegment(request.hostKey)}`,
  });
  return readApiAnswer('list registrations', response, registrations).data;
}

/** Creates a registration; a lost answer is no failure, because the next round's list shows what became of it. */
async function createRegistration(
  connection: Connection,
  request: RegisterHostRequest,
  deadline: Deadline,
): Promise<Registration | string> {
  let response: HttpResponse;
  try {
    response = await ask(connection, request, deadline, {
      method: 'POST',
      url: joinUrl(request.cattleUrl, 'register'),
      body: { key: request.hostKey },
    });
  } catch (error) {
    if (error instanceof ServerUnavailableError) return messageOf(error);
    throw error;
  }
  if (response.status >= 500) return `the server answers with status ${response.status} to the registration`;
  return readApiAnswer('Register', response, registration);
}

/**
 * Polls a registration by id, pauses doubling from `REGISTER_POLL_MIN` to `REGISTER_POLL_MAX` ms, until it no longer
 * moves.
 * @returns its state, or `gone` when the server no longer knows it
 */
async function pollRegistration(
  connection: Connection,
  request: RegisterHostRequest,
  id: string,
  deadline: Deadline,
): Promise<string> {
  const { limits, clock, signal } = connection;
  const url = `${joinUrl(request.cattleUrl, 'register')}/${encodeSegment(id)}`;
  let pause = limits.REGISTER_POLL_MIN;
  let state = 'unknown';
  while (deadline.left() > 0) {
    const response = await ask(connection, request, deadline, { method: 'GET', url });
    if (response.status === 404) return 'gone';
    const current = readApiAnswer('look at the registration', response, registration);
    state = current.state ?? 'unknown';
    if (state === 'removing' || state === 'removed' || state === 'active') return state;
    if (current.transitioning !== 'yes') throw registrationFailed(failureOf(current));
    await clock.sleep(Math.min(pause, deadline.left()), signal);
    pause = Math.min(limits.REGISTER_POLL_MAX, Math.max(1, pause) * 2);
  }
  throw new ServerUnavailableError(
    `the server has not finished registering this host within ${formatDuration(limits.REGISTER_TOTAL)} (state: ${quote(state)})`,
    { hint: 'look at the processes of the server (Admin > Processes), then run the command again' },
  );
}

/** One request with the registration keys; questions outlive a restart of the server. 401 means one thing here. */
async function ask(
  connection: Connection,
  { credentials }: RegisterHostRequest,
  deadline: Deadline,
  request: HttpRequest,
): Promise<HttpResponse> {
  const response = await connection.client.request({
    ...request,
    credentials,
    headers: enforceAuthentication,
    ...(request.method === 'GET'
      ? { repeat: 'until-deadline', deadlineMs: Math.max(connection.limits.HTTP_CONNECT, deadline.left()) }
      : { deadlineMs: lastChance(connection.limits, deadline.left()) }),
  });
  const originalMessage = readApiError(response);
  // Without the API's own words it is a proxy that refuses something.
  if (originalMessage === undefined || (response.status !== 401 && response.status !== 403)) return response;
  throw new NotPermittedError('the server refuses the registration: invalid registration token', {
    hint: 'the token was removed, or its environment is not active: copy the command from "Add Host" again',
    originalMessage,
  });
}

function failureOf({ state, transitioning, transitioningMessage }: Registration): {
  step: 'fail';
  reason: string;
  originalMessage?: string;
} {
  const originalMessage = quote(transitioningMessage ?? '');
  const reason =
    transitioning === 'error'
      ? 'the server reports an error'
      : `the registration stays in state ${quote(state ?? 'unknown')}`;
  return { step: 'fail', reason, ...(originalMessage === '' ? {} : { originalMessage }) };
}

function registrationFailed({
  reason,
  originalMessage,
}: {
  reason: string;
  originalMessage?: string;
}): ServerUnavailableError {
  return new ServerUnavailableError(
    `the server did not register this host: ${reason}${originalMessage === undefined ? '' : `: ${originalMessage}`}`,
    {
      hint: 'look at the processes of the server (Admin > Processes), then run the command again',
      ...(originalMessage === undefined ? {} : { originalMessage }),
    },
  );
}

/** The keys of a registration; they become environment variables, so no key has a control or half a character. */
function readKeys(found: Registration): Credentials | undefined {
  const accessKey = found.accessKey ?? found.data?.fields?.accessKey;
  const secretKey = found.secretKey ?? found.data?.fields?.secretKey;
  if (!accessKey || !secretKey || /[\s\p{Cc}\p{Cs}]/u.test(accessKey + secretKey)) return undefined;
  return { accessKey, secretKey };
}

/** Oldest first; of the same age, by id, numbers in ids as numbers (`1go9` before `1go12`). */
function byAge(a: Registration, b: Registration): number {
  const [first, second] = [a.created ?? '', b.created ?? ''];
  if (first !== second) return first < second ? -1 : 1;
  return a.id.localeCompare(b.id, 'en', { numeric: true });
}
