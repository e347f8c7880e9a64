import { fingerprints } from '../server/stub-switches.ts';
import {
  registrationRows,
  runRows,
  tlsRows,
  type RegistrationRow,
  type RunRow,
  type TlsRow,
} from './switch-table.ts';

/** Switches of control-plane §9.4 whose tests are others. */
const elsewhere: readonly (readonly [string, string, string])[] = [
  [
    '`required=` another image',
    'upgraded once, by the agent itself',
    '`engine/run.test.ts`, `engine/upgrade.test.ts`',
  ],
  ['`required=` tag@digest', 'compared by image id', '`unit/agent/upgrade-decision.test.ts`'],
  ['`flip`', 'followed three times, then refused', '`engine/ping-pong.test.ts`'],
];

/** The page docs/control-plane-faults.md, which `npm run pages` writes and a unit test compares. */
export function renderSwitchPage(): string {
  return `# Whatever the server says

Each row is a test on a real engine (test/engine/switches.test.ts, test/engine/tls.test.ts). The first column is what is
wrong with the server, as \`scripts/stub-server\` takes it: \`ENDPOINT:FAULT*TIMES\`, or a switch that stays. In every row,
whatever it is: nothing that came from the network is executed, no other server is asked, no key or token is shown, and the
agent that is there is not touched unless the registration goes well.

## Registering a host

The host has an agent. Exit status 0 leaves the state \`ok\`, every other one the state \`failed\` with what is quoted.
\`×3\` are that many requests, \`+\` is one or more.

| server | URL | exit | says | requests |
| --- | --- | --- | --- | --- |
${registrationRows.map(renderRegistration).join('\n')}

## TLS

\`CA_FINGERPRINT\` is accepted as openssl prints it, in lower case and without colons; 64 digits are a SHA-256 fingerprint.

| certificate | on the host | CA_FINGERPRINT | server | exit | says | requests |
| --- | --- | --- | --- | --- | --- | --- |
${tlsRows.map(renderTls).join('\n')}

## An agent in office

One and the same agent meets all of this, is never restarted, and runs the bootstrap again as soon as the server is well.
The last column is what it is asked for, turn after turn.

| server | bootstrap | state | log says | asked for |
| --- | --- | --- | --- | --- |
${runRows.map(renderRun).join('\n')}

Tested elsewhere:

| server | what follows | tested in |
| --- | --- | --- |
${elsewhere.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}

The page is made by \`npm run pages\`.
`;
}

function renderRegistration(row: RegistrationRow): string {
  const { switches, isNew, url, environment, exit, says, requests } = row;
  const server = [code(switches, 'well'), isNew ? 'host not known' : '', given(environment)];
  return cells(joined(server), url ?? 'token', String(exit), says, requests);
}

function renderTls({ certificate, caFile, environment, switches, exit, says, requests }: TlsRow): string {
  const fingerprint = environment?.['CA_FINGERPRINT'] ?? '';
  const { AGENT_TLS_MIN: floor } = environment ?? {};
  const onHost = [
    ...(caFile === undefined ? [] : [`ca.crt: ${caFile}`]),
    ...(floor === undefined ? [] : [`\`AGENT_TLS_MIN=${floor}\``]),
  ].join(', ');
  return cells(
    certificate,
    onHost,
    describeFingerprint(fingerprint),
    code(switches, ''),
    String(exit),
    says,
    requests,
  );
}

function renderRun({ switches, runs: doesRun, state, says, asks }: RunRow): string {
  return cells(code(switches, ''), doesRun ? 'runs' : 'not run', state ?? 'ok', says, asks);
}

function describeFingerprint(text: string): string {
  if (text === '') return '';
  const digits = text.replaceAll(':', '');
  const kind = digits.length === 64 ? 'SHA-256' : digits.length === 40 ? 'SHA-1' : `\`${text}\``;
  const shape = [text === text.toLowerCase() ? 'lower case' : '', text.includes(':') ? '' : 'no colons'];
  const whose = Object.values<string>(fingerprints).some(
    (each) => each.replaceAll(':', '') === digits.toUpperCase(),
  );
  return joined([kind, digits.length < 40 || whose ? '' : 'of another', ...shape]);
}

function given(environment: Readonly<Record<string, string>> | undefined): string {
  const own = Object.entries(environment ?? {}).filter(([name]) => !name.startsWith('AGENT_LIMIT_'));
  return own.map(([name, value]) => `\`${name}=${value}\``).join(', ');
}

function code(switches: readonly string[], otherwise: string): string {
  return switches.length === 0 ? otherwise : switches.map((each) => `\`${each}\``).join(' ');
}

function joined(parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(', ');
}

function cells(...texts: readonly string[]): string {
  return `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
}
