/**
 * The fault switches of control-plane §9.4 by name: `script=inject`, `register-list:status=503,html*2`. The tests of the
 * table in switch-table.ts, that table's page, and scripts/stub-server all read them here.
 */
import { X509Certificate } from 'node:crypto';
import { certificates } from '../certificates.ts';
import { endpointNames, type Endpoint } from './stub-api.ts';
import type { Behaviour } from './stub-behaviour.ts';
import type { Fault } from './stub-faults.ts';
import type { StubServer } from './stub-server.ts';

/** A switch as it was typed, taken apart. */
export interface SwitchText {
  readonly endpoint: Endpoint | 'any' | undefined;
  readonly name: string;
  readonly value: string;
  /** How often it happens before it clears. */
  readonly times: number | undefined;
  /** Requests let through before. */
  readonly after: number | undefined;
}

interface SwitchKind {
  /** How it is typed, for the help. */
  readonly form: string;
  readonly help: string;
  /** @returns undefined when the value can't be understood */
  readonly read: (value: string) => Fault | Partial<Behaviour> | 'refuse' | undefined;
  /** Something that happens to single requests: takes an endpoint and counts. */
  readonly isFault?: true;
}

/** A switch whose values are members of one table. */
function oneOf(
  name: string,
  help: string,
  values: Readonly<Record<string, Partial<Behaviour>>>,
): readonly [string, SwitchKind] {
  return [name, { form: `${name}=${Object.keys(values).join('|')}`, help, read: (value) => values[value] }];
}

function member<K extends keyof Behaviour>(
  key: K,
  ...values: readonly (Behaviour[K] & string)[]
): Readonly<Record<string, Partial<Behaviour>>> {
  return Object.fromEntries(values.map((value) => [value, { [key]: value }]));
}

function plainFault(name: Fault & string, help: string): readonly [string, SwitchKind] {
  return [name, { form: name, help, isFault: true, read: (value) => (value === '' ? name : undefined) }];
}

const { authority, stranger } = certificates;

const kinds: ReadonlyMap<string, SwitchKind> = new Map([
  [
    'refuse',
    {
      form: 'refuse[=SECONDS]',
      help: 'the port is closed, for good or for so long',
      read: (value) => (value === '' || /^\d+(\.\d+)?$/.test(value) ? 'refuse' : undefined),
    },
  ],
  plainFault('reset', 'the connection is reset'),
  plainFault('hang-accept', 'the request is taken and never answered'),
  plainFault('hang-body', 'headers and some bytes, then nothing'),
  plainFault('drip', 'a byte at a time, without end'),
  plainFault('truncate', 'the connection ends before the announced length'),
  plainFault('chunks', 'a broken chunked encoding'),
  plainFault('endless', 'an answer that never stops'),
  [
    'slow',
    {
      form: 'slow=SECONDS',
      help: 'the answer comes that late',
      isFault: true,
      read: (value) => (/^\d+(\.\d+)?$/.test(value) ? { slow: Number(value) * 1000 } : undefined),
    },
  ],
  [
    'status',
    {
      form: 'status=CODE[,json|html|empty][,RETRY-AFTER]',
      help: 'that status, with a body of that kind',
      isFault: true,
      read: readStatus,
    },
  ],
  [
    'html200',
    {
      form: 'html200[=schemas]',
      help: 'a web page with status 200, as a captive portal; with X-API-Schemas as well',
      isFault: true,
      read: (value) => (value === '' ? 'html200' : value === 'schemas' ? 'html200-with-schemas' : undefined),
    },
  ],
  [
    'redirect',
    {
      form: 'redirect=login|https|loop|URL',
      help: '302 to a login page, to https, to itself, or elsewhere',
      isFault: true,
      read: readRedirect,
    },
  ],
  oneOf('auth', 'access control', member('auth', 'on', 'off')),
  oneOf('token', 'the registration token is unknown (404)', member('token', 'bad', 'known')),
  oneOf('regtoken', 'the registration keys are refused', member('registrationToken', 'revoked', 'live')),
  oneOf('script', 'what is wrong with the registration script', {
    ...member('script', 'ok', 'sh-in-html', 'inject', 'crlf', 'extra-line', 'missing-url'),
    truncate: { script: 'truncated' },
  }),
  [
    'apihost',
    {
      form: 'apihost=URL',
      help: 'the server calls itself by this address',
      read: (value) => (URL.canParse(value) ? { apiHost: value } : undefined),
    },
  ],
  [
    'xff',
    {
      form: 'xff=TEXT',
      help: 'DETECTED_CATTLE_AGENT_IP: an IPv6 address, two addresses, …',
      read: (value) => ({ detectedIp: value }),
    },
  ],
  [
    'register',
    {
      form: 'register=ok|slow,SECONDS|never|error|removing|vanishing|duplicate|nokeys',
      help: 'how a registration goes',
      read: readRegister,
    },
  ],
  oneOf(
    'agentkey',
    "the agents' keys; fallback: known only without X-ENFORCE-AUTHENTICATION (PastureStack)",
    {
      ...member('agentKeys', 'revoked', 'live'),
      fallback: { agentsKnownByFallback: true },
    },
  ),
  oneOf(
    'bootstrap',
    'what is served as bootstrap script',
    member('bootstrap', 'ok', 'empty', 'json', 'html', 'truncated', 'no-shebang'),
  ),
  oneOf(
    'run',
    'what the bootstrap script does',
    member('bootstrapRun', 'exits', 'fails', 'runs-long', 'hangs'),
  ),
  oneOf('agent', 'what the downloaded agent does', member('agentRun', 'stays', 'websocket')),
  oneOf(
    'upgrade',
    'its upgrade branch: of cattle 0.183 or 0.165',
    member('upgradeStyle', 'timeout', 'detached'),
  ),
  oneOf('shape', 'the bootstrap script', member('bootstrapShape', 'short', 'rancher', 'pasturestack')),
  [
    'required',
    {
      form: 'required=[IMAGE]',
      help: 'REQUIRED_IMAGE',
      read: (value) => ({ requiredImages: [value] }),
    },
  ],
  [
    'flip',
    {
      form: 'flip=IMAGE,IMAGE…',
      help: 'REQUIRED_IMAGE alternates from request to request',
      read: (value) => ({ requiredImages: value.split(',') }),
    },
  ],
  oneOf('hdr', 'headers left out: X-API-Schemas, X-API-Account-Kind', {
    'no-schemas': { schemasHeader: false },
    'no-kind': { accountKindHeader: false },
  }),
  oneOf('project', 'there is no default environment', { none: { defaultProject: false } }),
  oneOf('tokens', 'a registration token exists before one is made', { exist: { tokenExists: true } }),
  oneOf('events', 'external host events are unknown (cattle < 0.177.1)', { off: { externalEvents: false } }),
  oneOf('cacert', '/scripts/ca.crt', {
    ok: { caCertificate: authority },
    twice: { caCertificate: authority + authority },
    stranger: { caCertificate: stranger },
    'stranger-first': { caCertificate: stranger + authority },
    html: { caCertificate: '<html></html>\n' },
    '404': { caCertificate: undefined },
  }),
]);

/** SHA-1 and SHA-256 fingerprints for `CA_FINGERPRINT`, as openssl prints them. */
export const fingerprints = {
  authority: new X509Certificate(authority).fingerprint,
  authoritySha256: new X509Certificate(authority).fingerprint256,
  stranger: new X509Certificate(stranger).fingerprint,
} as const;

/**
 * Takes a switch apart: `[ENDPOINT:]NAME[=VALUE][*TIMES][+AFTER]`.
 * @throws when it can't be understood, with what is wrong
 */
export function parseSwitch(text: string): SwitchText {
  const match = /^(?:([a-z-]+):(?!\/\/))?([a-z0-9-]+)(?:=(.*?))?(?:\*(\d+))?(?:\+(\d+))?$/s.exec(text);
  const [, endpoint, name = '', value = '', times, after] = match ?? [];
  const kind = kinds.get(name);
  if (kind === undefined) throw new Error(`no such switch: ${text}`);
  if (kind.read(value) === undefined) throw new Error(`${text}: expected ${kind.form}`);
  const isCounted = endpoint !== undefined || times !== undefined || after !== undefined;
  if (isCounted && kind.isFault !== true) throw new Error(`${name} takes no endpoint and no counts: ${text}`);
  return {
    endpoint: readEndpoint(endpoint),
    name,
    value,
    times: times === undefined ? undefined : Number(times),
    after: after === undefined ? undefined : Number(after),
  };
}

/** Throws a switch of a stub that runs. @throws when the text can't be understood */
export async function throwSwitch(stub: StubServer, text: string): Promise<void> {
  const { endpoint = 'any', name, value, times, after } = parseSwitch(text);
  const kind = kinds.get(name);
  const effect = kind?.read(value);
  if (effect === 'refuse' && name === 'refuse') {
    await stub.pause();
    if (value !== '') setTimeout(() => void stub.resume(), Number(value) * 1000);
  } else if (kind?.isFault === true) {
    stub.fault(endpoint, effect as Fault, {
      ...(times === undefined ? {} : { times }),
      ...(after === undefined ? {} : { after }),
    });
  } else {
    Object.assign(stub.behaviour, effect);
  }
}

/** The switches, one a line, for the help of scripts/stub-server. */
export function describeSwitches(): string {
  const width = 34;
  return [...kinds.values()]
    .map(({ form, help, isFault }) => {
      const first = `  ${isFault === true ? `[ENDPOINT:]${form}` : form}`;
      return first.length <= width
        ? `${first.padEnd(width)}  ${help}`
        : `${first}\n${' '.repeat(width)}  ${help}`;
    })
    .join('\n');
}

function readEndpoint(text: string | undefined): SwitchText['endpoint'] {
  if (text === undefined || text === 'any') return text;
  const endpoint = endpointNames.find((name) => name === text);
  if (endpoint === undefined)
    throw new Error(`no such endpoint: ${text}; there are any, ${endpointNames.join(', ')}`);
  return endpoint;
}

function readStatus(value: string): Fault | undefined {
  const [code = '', body = 'json', retryAfter] = value.split(',');
  if (!/^[2-5]\d\d$/.test(code) || (body !== 'json' && body !== 'html' && body !== 'empty')) return undefined;
  return { status: Number(code), body, ...(retryAfter === undefined ? {} : { retryAfter }) };
}

function readRedirect(value: string): Fault | undefined {
  if (value === 'login' || value === 'https' || value === 'loop') return `redirect-${value}`;
  return URL.canParse(value) ? { redirect: value } : undefined;
}

function readRegister(value: string): Partial<Behaviour> | undefined {
  const [how = '', seconds] = value.split(',');
  if (how === 'slow') return { register: 'ok', registerMs: Number(seconds ?? 5) * 1000 };
  if (how === 'nokeys') return { register: 'no-keys' };
  const plain = ['ok', 'never', 'error', 'removing', 'vanishing', 'duplicate'] as const;
  const known = plain.find((name) => name === how);
  return known === undefined || seconds !== undefined ? undefined : { register: known };
}
