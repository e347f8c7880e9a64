/**
 * What the control plane can do wrong (control-plane §9.4), as data: each row a state of the server and the exact end.
 * The tests run every row on a real engine; scripts/check/render-pages.ts prints them for the docs.
 */
import { fingerprints } from '../server/stub/stub-switches.ts';
import type { caFiles, tlsServers } from '../server/tls-servers.ts';

/** How the registration URL is given. */
export type UrlForm =
  'token' | 'environment' | 'v2-beta' | 'base' | 'api' | 'schemas' | 'environment schemas' | 'wrong token';

export interface RegistrationRow {
  /** As scripts/stub-server takes them; ELSEWHERE stands for the address of another server. */
  readonly switches: readonly string[];
  /** `token` when not given: http://SERVER/v1/scripts/TOKEN. */
  readonly url?: UrlForm;
  /** Set for the registration. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The server doesn't know this host yet. */
  readonly isNew?: true;
  /** The new agent differs from the one there: another address of the API. */
  readonly replaces?: true;
  /** Exit status, which decides on the state as well: 0 is `ok`, everything else `failed`. */
  readonly exit: 0 | 69 | 75 | 77 | 78;
  /** Stands in what the registration says and, unless it went well, in the status. */
  readonly says: string;
  /** Exactly the requests that the server gets, in order: `script, register-list`, `register-poll+`, `script×3`. */
  readonly requests: string;
}

/** Waits of a registration under test, in ms or times. */
export const registrationLimits = {
  SERVER_TRIES: 3,
  SERVER_PAUSE: 50,
  HTTP_CONNECT: 2_000,
  HTTP_TOTAL: 5_000,
  HTTP_RETRY_PAUSE_MIN: 10,
  HTTP_RETRY_PAUSE_MAX: 50,
  REGISTER_TOTAL: 1_500,
  REGISTER_POLL_MAX: 200,
  RESOLVE_TOTAL: 1_500,
  READY: 8_000,
} as const;

/** For servers that say nothing: no test waits 5 s for that. */
const impatient = { AGENT_LIMIT_HTTP_TOTAL: '700', AGENT_LIMIT_SERVER_TRIES: '2' };

const known = 'script, register-list';
const made = 'script, register-list, register-create, register-poll+, register-list';
const registered = { exit: 0, says: 'this host is registered', requests: known } as const;
const noScript = { exit: 69, requests: 'script' } as const;

/** Registrations, in the order in which they are run on one host that has an agent already. */
export const registrationRows: readonly RegistrationRow[] = [
  { switches: [], ...registered },
  { switches: [], isNew: true, ...registered, requests: made },
  // ── no answer ─────────────────────────────────────────────────────────────
  { switches: ['refuse'], exit: 69, says: '(connection refused); giving up', requests: '' },
  { switches: ['refuse=2'], environment: { AGENT_LIMIT_SERVER_TRIES: '300' }, ...registered },
  { switches: ['script:reset'], exit: 69, says: 'giving up', requests: 'script×3' },
  { switches: ['script:reset*2'], ...registered, requests: 'script×3, register-list' },
  ...(['hang-accept', 'hang-body', 'drip', 'slow=30'] as const).map((fault): RegistrationRow => ({
    switches: [`script:${fault}`],
    environment: impatient,
    exit: 69,
    says: '(timed out); giving up',
    requests: 'script×2',
  })),
  { switches: ['script:slow=1'], ...registered },
  {
    switches: ['script:truncate'],
    exit: 69,
    says: 'closed before the answer was complete',
    requests: 'script×3',
  },
  { switches: ['script:endless'], exit: 69, says: 'the answer is longer than', requests: 'script×3' },
  { switches: ['register-list:reset*2'], ...registered, requests: 'script, register-list×3' },
  {
    switches: ['register-list:hang-accept'],
    environment: impatient,
    exit: 69,
    says: 'timed out',
    requests: 'script, register-list+',
  },
  {
    switches: ['register-create:reset*1'],
    isNew: true,
    ...registered,
    requests: `script, register-list, register-create, ${made.slice(8)}`,
  },
  {
    switches: ['register-create:truncate*1'],
    isNew: true,
    ...registered,
    requests: `script, register-list, register-create, ${made.slice(8)}`,
  },
  { switches: ['register-poll:reset*1'], isNew: true, ...registered, requests: made },
  // ── error statuses ────────────────────────────────────────────────────────
  ...[500, 502, 503].flatMap((status) =>
    (['json', 'html', 'empty'] as const).map((body): RegistrationRow => ({
      switches: [`script:status=${status},${body}`],
      exit: 69,
      says: `(status ${status}`,
      requests: 'script×3',
    })),
  ),
  { switches: ['script:status=503,html*2'], ...registered, requests: 'script×3, register-list' },
  {
    switches: ['register-list:status=500'],
    exit: 69,
    says: 'answers with status 500',
    requests: 'script, register-list+',
  },
  { switches: ['register-list:status=503,html*2'], ...registered, requests: 'script, register-list×3' },
  {
    switches: ['register-create:status=500*1'],
    isNew: true,
    ...registered,
    requests: `script, register-list, register-create, ${made.slice(8)}`,
  },
  { switches: ['register-poll:status=502,empty*2'], isNew: true, ...registered, requests: made },
  { switches: ['register-list:status=401,html'], exit: 69, says: 'answers with status 401', requests: known },
  // ── a page instead of the server ──────────────────────────────────────────
  { switches: ['any:html200'], ...noScript, says: 'does not answer with a registration script' },
  { switches: ['any:html200=schemas'], ...noScript, says: 'does not answer with a registration script' },
  { switches: ['any:html200'], url: 'base', exit: 69, says: 'is not a Rancher API', requests: 'root' },
  { switches: ['any:html200=schemas'], url: 'base', exit: 69, says: 'a web page', requests: 'root, schemas' },
  { switches: ['register-list:html200'], exit: 69, says: 'a web page', requests: known },
  { switches: ['script:redirect=login'], exit: 69, says: 'a web page', requests: 'script, interface' },
  {
    switches: ['script:redirect=https'],
    exit: 69,
    says: 'which is not the server that was asked',
    requests: 'script',
  },
  { switches: ['script:redirect=loop'], exit: 69, says: 'redirected in a circle', requests: 'script+' },
  {
    switches: ['script:redirect=ELSEWHERE/v1/scripts/T'],
    exit: 69,
    says: 'which is not the server that was asked',
    requests: 'script',
  },
  {
    switches: ['register-list:redirect=ELSEWHERE/v1/register'],
    exit: 69,
    says: 'which is not the server that was asked',
    requests: known,
  },
  {
    switches: ['register-create:redirect=ELSEWHERE/v1/register'],
    isNew: true,
    exit: 69,
    says: 'answers with status 302',
    requests: 'script, register-list, register-create',
  },
  // ── the registration script ───────────────────────────────────────────────
  { switches: ['script=sh-in-html'], ...noScript, says: 'the first line is not #!/bin/sh' },
  { switches: ['script=inject'], ...noScript, says: 'line 6 would be computed by a shell' },
  { switches: ['script=crlf'], ...noScript, says: 'the lines end in CRLF' },
  { switches: ['script=extra-line'], ...noScript, says: 'line 7 is not of the form export NAME=VALUE' },
  { switches: ['script=missing-url'], ...noScript, says: 'CATTLE_URL is missing' },
  { switches: ['script=truncate'], ...noScript, says: 'the text is cut off' },
  { switches: ['xff=fd00::1'], ...registered, says: '(fd00::1) is an IPv6 address' },
  { switches: ['xff=10.0.0.1, 10.0.0.2'], ...registered, says: 'is not a dotted IPv4 address' },
  // ── tokens and addresses ──────────────────────────────────────────────────
  { switches: ['token=bad'], exit: 78, says: 'does not know the registration token', requests: 'script' },
  {
    switches: ['token=bad', 'auth=on'],
    exit: 78,
    says: 'does not know the registration token',
    requests: 'script',
  },
  {
    switches: [],
    url: 'wrong token',
    exit: 78,
    says: 'does not know the registration token',
    requests: 'script',
  },
  { switches: ['regtoken=revoked'], exit: 77, says: 'invalid registration token', requests: known },
  {
    switches: ['regtoken=revoked', 'auth=on'],
    exit: 77,
    says: 'invalid registration token',
    requests: known,
  },
  {
    switches: ['apihost=ELSEWHERE'],
    exit: 78,
    says: 'the configured Host Registration URL does not match the given URL',
    requests: 'script',
  },
  { switches: ['apihost=ELSEWHERE'], environment: { CATTLE_URL_OVERRIDE: 'HERE/v1' }, ...registered },
  { switches: ['auth=on'], ...registered },
  { switches: ['auth=on'], url: 'base', exit: 77, says: 'access control is on', requests: 'root' },
  // ── forms of the URL ──────────────────────────────────────────────────────
  { switches: [], url: 'environment', ...registered },
  {
    switches: [],
    url: 'base',
    isNew: true,
    ...registered,
    requests: `root, schemas, projects, schemas, registration-tokens×2, registration-token+, ${made}`,
  },
  ...(['api', 'base'] as const).map((url): RegistrationRow => ({
    switches: ['tokens=exist'],
    url,
    ...registered,
    requests: `root, schemas, projects, schemas, registration-tokens, ${known}`,
  })),
  {
    switches: ['tokens=exist', 'hdr=no-schemas'],
    url: 'schemas',
    ...registered,
    requests: `schemas, projects, schemas, registration-tokens, ${known}`,
  },
  { switches: ['hdr=no-schemas'], url: 'api', exit: 69, says: 'JSON of another kind', requests: 'root' },
  {
    switches: ['tokens=exist'],
    url: 'environment schemas',
    ...registered,
    requests: `schemas×2, registration-tokens, ${known}`,
  },
  {
    switches: ['project=none'],
    url: 'base',
    exit: 78,
    says: 'no default environment',
    requests: 'root, schemas, projects',
  },
  // ── the registration ──────────────────────────────────────────────────────
  { switches: ['register=slow,0.5'], isNew: true, ...registered, requests: made },
  {
    switches: ['register=never'],
    isNew: true,
    exit: 69,
    says: 'has not finished registering this host within 1.5 s',
    requests: 'script, register-list, register-create, register-poll+',
  },
  {
    switches: ['register=error'],
    isNew: true,
    exit: 69,
    says: 'Stub could not create the agent account',
    requests: 'script, register-list, register-create, register-poll',
  },
  { switches: ['register=removing'], isNew: true, ...registered, requests: made },
  {
    switches: ['register=vanishing'],
    isNew: true,
    ...registered,
    requests: `script, register-list, register-create, register-poll, ${made.slice(8)}`,
  },
  { switches: ['register=duplicate'], isNew: true, ...registered },
  {
    switches: ['register=nokeys'],
    isNew: true,
    exit: 69,
    says: 'the server reports no keys',
    requests: made,
  },
  // Last: the agent gets another address of the API.
  { switches: [], url: 'v2-beta', replaces: true, ...registered },
];

export interface TlsRow extends Omit<RegistrationRow, 'url' | 'isNew'> {
  /** The certificate of the server. */
  readonly certificate: keyof typeof tlsServers;
  /** What stands in /var/lib/rancher/etc/ssl/ca.crt on the host; there is no such file when not given. */
  readonly caFile?: keyof typeof caFiles;
}

const pin = (fingerprint: string): Readonly<Record<string, string>> => ({ CA_FINGERPRINT: fingerprint });
const sha1 = fingerprints.authority;
const trusted = { certificate: 'server', ...registered } as const;
const pinned = {
  ...trusted,
  switches: ['cacert=ok'],
  requests: 'ca-certificate, script×2, register-list',
} as const;
const refused = {
  certificate: 'server',
  environment: pin(sha1),
  exit: 78,
  requests: 'ca-certificate',
} as const;

/** Registrations at an https server whose certificate is signed by an authority that nobody knows. */
export const tlsRows: readonly TlsRow[] = [
  { certificate: 'server', switches: [], exit: 69, says: 'signed by an unknown authority', requests: '' },
  {
    ...trusted,
    switches: [],
    caFile: 'stranger',
    exit: 69,
    says: 'signed by an unknown authority',
    requests: '',
  },
  { ...trusted, switches: [], caFile: 'nonsense', exit: 78, says: 'holds no certificate', requests: '' },
  {
    ...trusted,
    switches: [],
    environment: pin('AA:BB'),
    exit: 78,
    says: 'is not a fingerprint',
    requests: '',
  },
  {
    ...refused,
    switches: ['cacert=ok'],
    environment: pin(sha1.replace(/^../, sha1.startsWith('00') ? '11' : '00')),
    says: 'has another fingerprint than CA_FINGERPRINT',
  },
  { ...refused, switches: ['cacert=stranger'], says: 'has another fingerprint than CA_FINGERPRINT' },
  { ...refused, switches: ['cacert=stranger-first'], says: 'has another fingerprint than CA_FINGERPRINT' },
  { ...refused, switches: ['cacert=404'], says: 'does not offer it (status 404)' },
  { ...refused, switches: ['cacert=html'], says: 'does not answer with a certificate' },
  {
    ...refused,
    switches: ['cacert=stranger'],
    environment: pin(fingerprints.stranger),
    exit: 69,
    says: 'signed by an unknown authority',
  },
  {
    ...refused,
    certificate: 'expired',
    switches: ['cacert=ok'],
    caFile: 'authority',
    exit: 69,
    says: 'has expired',
    requests: '',
  },
  {
    ...refused,
    certificate: 'other-name',
    switches: ['cacert=ok'],
    caFile: 'authority',
    exit: 69,
    says: 'for another host name',
    requests: '',
  },
  // Registered by https means https: nothing of the agent changes.
  ...(
    [
      ['http://plain.example:8080', 'reports a plain http address, which is refused'],
      ['https://elsewhere.example', 'which is not the server that was asked'],
    ] as const
  ).map(([url, says]): TlsRow => {
    return { ...refused, switches: [`apihost=${url}`], caFile: 'authority', says, requests: 'script' };
  }),
  ...(
    [
      [undefined, {}, 'trusts /var/lib/rancher/etc/ssl/ca.crt or CA_FINGERPRINT alone'],
      ['intermediate', pin(sha1), 'has the fingerprint in CA_FINGERPRINT'],
    ] as const
  ).map(([caFile, given, says]): TlsRow => {
    const environment = { ...given, AGENT_TLS_TRUST: 'ca.crt' };
    return { ...refused, switches: [], ...(caFile && { caFile }), environment, says, requests: '' };
  }),
  // From here on the agent's address is the https one.
  {
    ...pinned,
    environment: { ...pin(sha1), AGENT_TLS_TRUST: 'ca.crt' },
    replaces: true,
    requests: `ca-certificate, script, ${made}`,
  },
  {
    ...pinned,
    environment: pin(sha1),
    replaces: true,
  },
  { ...pinned, environment: pin(sha1.toLowerCase().replaceAll(':', '')) },
  { ...pinned, environment: pin(fingerprints.authoritySha256) },
  { ...pinned, switches: ['cacert=twice'], environment: pin(sha1) },
  { ...trusted, switches: ['cacert=404'], caFile: 'authority' },
  // Trust as of curl and Go: the intermediate authority, or the server's own certificate, is enough.
  ...(['leaf only', 'leaf and intermediate'] as const).flatMap((certificate): readonly TlsRow[] => [
    { ...trusted, certificate, switches: [], caFile: 'intermediate', replaces: true, requests: made },
    { ...trusted, certificate, switches: [], caFile: 'the leaf' },
  ]),
  {
    ...trusted,
    certificate: 'leaf only',
    switches: [],
    caFile: 'authority',
    exit: 69,
    says: 'signed by an unknown authority',
    requests: '',
  },
  // Too weak for today: final at once, or accepted where that is asked for.
  ...(
    [
      ['RSA-1024', "the server's RSA key has 1024 bits"],
      ['SHA-1', 'the certificate is signed with SHA-1'],
      ['TLS 1.1', 'the server speaks only TLS 1.1'],
    ] as const
  ).flatMap(([certificate, says]): readonly TlsRow[] => [
    { certificate, switches: [], caFile: 'authority', exit: 69, says, requests: '' },
    {
      ...trusted,
      certificate,
      switches: [],
      caFile: 'authority',
      environment: { AGENT_TLS_MIN: 'legacy' },
      requests: made,
      // Our client accepts it; the curl of this image does not, and its agent would not serve.
      exit: 75,
      says: "the next agent cannot serve: the image's curl",
    },
  ]),
];

export interface RunRow {
  readonly switches: readonly string[];
  /** Stands in the agent's log. */
  readonly says: string;
  /** What the agent asks the server for, turn after turn. */
  readonly asks: string;
  /** Whether the bootstrap script is run. */
  readonly runs: boolean;
  /** The state of the host while it lasts; `ok` when not given. */
  readonly state?: 'failed';
  /** Workers that may be created for it, one that fails and one that waits; none when not given. */
  readonly mostWorkers?: number;
}

const turn = 'configcontent-schema, bootstrap';
const nothing = { runs: false, asks: turn } as const;
const runs = { runs: true, asks: turn, says: 'running the bootstrap' } as const;
const revoked = {
  runs: false,
  asks: 'configcontent-schema',
  says: 'register this host again',
  state: 'failed',
} as const;

/** What an active agent meets, in the order in which one and the same agent meets it; it recovers from each. */
export const runRows: readonly RunRow[] = [
  { switches: ['refuse'], runs: false, asks: '', says: 'connection refused' },
  { switches: ['any:reset'], ...nothing, says: 'nothing was run: GET' },
  { switches: ['any:hang-accept'], ...nothing, says: 'scripts/bootstrap: timed out' },
  { switches: ['any:hang-body'], ...nothing, says: 'scripts/bootstrap: timed out' },
  { switches: ['any:slow=5'], ...nothing, says: 'scripts/bootstrap: timed out' },
  ...[500, 502, 503].flatMap((status) =>
    (['json', 'html', 'empty'] as const).map((body): RunRow => ({
      switches: [`any:status=${status},${body}`],
      ...nothing,
      says: `nothing was run: the server answers with status ${status}`,
    })),
  ),
  { switches: ['any:html200'], ...nothing, says: 'nothing was run: the server answers with a web page' },
  {
    switches: ['any:html200=schemas'],
    ...nothing,
    says: 'nothing was run: the server answers with a web page',
  },
  {
    switches: ['any:redirect=login'],
    runs: false,
    asks: 'configcontent-schema, bootstrap, interface',
    says: 'redirected in a circle',
  },
  { switches: ['any:redirect=https'], ...nothing, says: 'which is not the server that was asked' },
  { switches: ['any:redirect=ELSEWHERE/v1'], ...nothing, says: 'which is not the server that was asked' },
  { switches: ['configcontent-schema:status=500'], ...runs },
  { switches: ['configcontent-schema:html200'], ...runs },
  { switches: ['bootstrap=empty'], ...nothing, says: 'an empty bootstrap script' },
  { switches: ['bootstrap=json'], ...nothing, says: 'JSON instead of the bootstrap script' },
  { switches: ['bootstrap=html'], ...nothing, says: 'a web page instead of the bootstrap script' },
  { switches: ['bootstrap=truncated'], ...nothing, says: 'the bootstrap script is cut off' },
  { switches: ['bootstrap=no-shebang'], ...nothing, says: 'is not #!/bin/bash' },
  { switches: ['bootstrap:truncate'], ...nothing, says: 'closed before the answer was complete' },
  { switches: ['agentkey=revoked'], ...revoked },
  { switches: ['agentkey=revoked', 'auth=on'], ...revoked },
  { switches: ['agentkey=revoked', 'hdr=no-kind'], ...revoked },
  { switches: ['agentkey=fallback'], ...runs },
  { switches: ['required='], ...runs },
  { switches: ['required=IMAGE'], ...runs },
  { switches: ['required=mirror.example:5000/rancher/agent:alias'], ...runs },
  {
    switches: ['required=$(touch /tmp/stub-injected /var/lib/rancher/stub-injected)'],
    ...runs,
    says: 'REQUIRED_IMAGE is unclear',
  },
  {
    switches: ['required=unpullable.invalid/agent:v1'],
    ...runs,
    says: 'cannot be pulled',
    state: 'failed',
    mostWorkers: 2,
  },
];
