import type { ContainerSummary } from '../../../src/engine/engine.ts';
import { featuresOf } from '../../../src/engine/features.ts';
import type { HostStatus } from '../../../src/host/files/status.ts';
import type { HostSnapshot } from '../../../src/doctor/snapshot.ts';
import { leakedSummary } from '../fakes/leaked.ts';
import { agent, host, known, listed, now, unknown } from '../fakes/healthy-host.ts';

export const minute = 60_000;
export const id = (letter: string): string => letter.repeat(64);

function pool(...status: readonly (readonly [string, string])[]): HostSnapshot['info'] {
  const { info } = host();
  if (!info.known) throw new Error('a healthy host has an engine');
  return known({ ...info.value, storageDriver: 'devicemapper', driverStatus: status });
}

function status(parts: Partial<HostStatus>): HostSnapshot['status'] {
  const { status: healthy } = host();
  if (!healthy.known || healthy.value.kind !== 'valid') throw new Error('a healthy host has a status');
  return known({ kind: 'valid', status: { ...healthy.value.status, ...parts } });
}

/** Leaked helpers of those ages, in minutes, beside the agent. */
function leaks(...ages: readonly number[]): HostSnapshot['containers'] {
  const leaked = ages.map((age, index): ContainerSummary =>
    leakedSummary({
      id: index.toString(16).padStart(64, '0'),
      name: 'sad_bohr',
      createdAt: now - age * minute,
    }),
  );
  return known([...leaked, listed()]);
}

export const oldAgent = agent({ ownEntrypoint: false, image: 'rancher/agent:v1.0.2' });

const holder = {
  pid: 812,
  command: 'cadvisor',
  processes: 1,
  container: id('c'),
  hostNamespace: false,
  mounts: 2,
  mountPoints: ['/rootfs/x', '/rootfs/y'],
};
const answered = (parts: object): HostSnapshot['server'] =>
  known({
    url: 'https://rancher.example/v1',
    answer: { kind: 'answered', credentials: { state: 'live' }, skewMs: 0, tookMs: 1, ...parts },
  });

/** What is wrong with a host, the causes that the doctor must name, these and no other, and its exit status. */
export type DiagnosisTable = readonly (readonly [
  title: string,
  parts: Partial<HostSnapshot>,
  causes: readonly string[],
  exit: number,
])[];

export const diagnosisTable: DiagnosisTable = [
  ['nothing', {}, [], 0],
  [
    'an engine without AutoRemove',
    {
      engine: known({ version: { engine: '1.10.3', api: '1.22' }, features: featuresOf('1.22'), tookMs: 9 }),
    },
    [],
    0,
  ],
  [
    'inodes not counted (btrfs)',
    { fileSystem: known({ freeBytes: 5e9, totalBytes: 9e9, freeInodes: undefined, totalInodes: undefined }) },
    [],
    0,
  ],
  [
    'few bytes',
    { fileSystem: known({ freeBytes: 100e6, totalBytes: 9e9, freeInodes: 1e6, totalInodes: 1e6 }) },
    ['storage-low'],
    2,
  ],
  [
    'few inodes',
    { fileSystem: known({ freeBytes: 5e9, totalBytes: 9e9, freeInodes: 1_500, totalInodes: 1e6 }) },
    ['storage-low'],
    2,
  ],
  [
    'room for one image',
    { fileSystem: known({ freeBytes: 500e6, totalBytes: 9e9, freeInodes: 1e6, totalInodes: 1e6 }) },
    ['storage-tight'],
    1,
  ],
  [
    'the pool of the incident, alive',
    {
      info: pool(
        ['Metadata Space Used', '40 MB'],
        ['Metadata Space Total', '75.5 MB'],
        ['Deferred Removal Enabled', 'false'],
        ['Deferred Deletion Enabled', 'false'],
      ),
    },
    ['deferred-off'],
    1,
  ],
  [
    'the pool of the incident, dying',
    {
      info: pool(
        ['Metadata Space Used', '73 MB'],
        ['Metadata Space Total', '75.5 MB'],
        ['Deferred Removal Enabled', 'false'],
        ['Deferred Deletion Enabled', 'false'],
      ),
    },
    ['storage-low', 'deferred-off'],
    2,
  ],
  [
    'a pool filling up',
    {
      info: pool(
        ['Data Space Used', '90 GB'],
        ['Data Space Total', '107 GB'],
        ['Deferred Removal Enabled', 'true'],
        ['Deferred Deletion Enabled', 'true'],
      ),
    },
    ['storage-tight'],
    1,
  ],
  [
    'a pool on loopback files',
    {
      info: pool(
        ['Data loop file', '/var/lib/docker/devicemapper/devicemapper/data'],
        ['Deferred Removal Enabled', 'true'],
        ['Deferred Deletion Enabled', 'true'],
      ),
    },
    ['loopback-pool'],
    1,
  ],
  [
    'a pool of an engine that does not speak of deferring',
    { info: pool(['Pool Name', 'docker-thinpool']) },
    [],
    0,
  ],
  [
    'no agent at all',
    { agents: known([]), containers: known([]), server: { known: false, why: 'no keys', blind: true } },
    ['no-agent'],
    2,
  ],
  [
    'an agent that exited',
    { agents: known([agent({ state: 'exited', exitCode: 137, finishedAt: now - minute })]) },
    ['agent-stopped'],
    2,
  ],
  ['an agent that is paused', { agents: known([agent({ state: 'paused' })]) }, ['agent-stopped'], 2],
  ['a dead agent', { agents: known([agent({ state: 'dead' })]) }, ['agent-stopped'], 2],
  [
    'an agent that restarts',
    { agents: known([agent({ state: 'restarting', restartCount: 9, exitCode: 3 })]) },
    ['agent-restarts'],
    2,
  ],
  [
    'an agent that came up a moment ago for the ninth time',
    { agents: known([agent({ restartCount: 9, startedAt: now - minute })]) },
    ['agent-restarts'],
    2,
  ],
  ['an agent that restarted often, long ago', { agents: known([agent({ restartCount: 9 })]) }, [], 0],
  [
    'two agents',
    { agents: known([agent(), agent({ role: 'other', name: 'spare', id: id('b') })]) },
    ['two-agents'],
    2,
  ],
  [
    "an agent and its family's old one",
    { agents: known([agent(), agent({ role: 'legacy agent', id: id('b') })]) },
    ['two-agents'],
    2,
  ],
  [
    'an agent under a name of its own',
    { agents: known([agent({ role: 'other', name: 'my-agent' })]) },
    [],
    0,
  ],
  [
    'a stranger with the name',
    { agents: known([agent({ managed: false, image: 'nginx' })]) },
    ['role-name-taken'],
    2,
  ],
  [
    'a parked agent and no active one',
    { agents: known([agent({ role: 'previous', name: 'rancher-agent-previous', state: 'exited' })]) },
    ['no-agent'],
    2,
  ],
  [
    'one left over',
    { agents: known([agent(), agent({ role: 'previous', name: 'rancher-agent-previous', id: id('b') })]) },
    ['left-over'],
    1,
  ],
  [
    'a corpse',
    {
      agents: known([
        agent(),
        agent({ role: 'previous', name: 'rancher-agent-previous', id: id('b'), state: 'dead' }),
      ]),
    },
    ['cannot-remove'],
    1,
  ],
  [
    'an upgrade in its middle',
    {
      agents: known([
        agent({ role: 'next', name: 'rancher-agent-next' }),
        agent({ role: 'worker', name: 'rancher-agent-worker', id: id('b'), startedAt: now - minute }),
      ]),
      status: status({ state: 'working' }),
    },
    [],
    0,
  ],
  [
    'an agent that a cleanup has stopped',
    {
      agents: known([
        agent({ state: 'exited', ownEntrypoint: false }),
        agent({ role: 'agent-restarter', name: 'rancher-agent-restarter', id: id('b') }),
      ]),
    },
    [],
    0,
  ],
  ['leaks of long ago', { containers: leaks(300, 200) }, ['leaked-before'], 1],
  ['one leak a minute ago', { containers: leaks(1) }, ['leaked-before'], 1],
  [
    'a leak by a loop, two in a quarter of an hour',
    { containers: leaks(12, 1), agents: known([oldAgent]) },
    ['leaking-now'],
    2,
  ],
  [
    'a loop that leaked every 20 s, and was stopped two minutes ago',
    { containers: leaks(2, 2.3, 2.6, 3) },
    ['leaked-before'],
    1,
  ],
  [
    'a loop that leaks every five minutes, as with newer servers',
    { containers: leaks(4, 9, 14), agents: known([oldAgent]) },
    ['leaking-now'],
    2,
  ],
  ['a leak by nobody known', { containers: leaks(12, 1) }, ['leaking-now'], 2],
  ['a helper that is honest still', { containers: leaks(0.1) }, [], 0],
  ['an old agent that has not leaked yet', { agents: known([oldAgent]) }, ['legacy-entrypoint'], 1],
  [
    "somebody else's container that restarts",
    {
      containers: known([
        listed(),
        listed({ id: id('d'), name: 'web', image: 'nginx', labels: {}, state: 'restarting' }),
      ]),
    },
    ['others-restart'],
    1,
  ],
  [
    'a monitor that holds mounts, on the kernel of the incident',
    { mounts: known({ holders: [holder], complete: true, kernelDetaches: false }) },
    ['mounts-held'],
    1,
  ],
  [
    'a monitor that holds mounts, today',
    { mounts: known({ holders: [holder], complete: true, kernelDetaches: true }) },
    [],
    0,
  ],
  [
    'a monitor that holds block devices, today',
    {
      info: pool(['Deferred Removal Enabled', 'true']),
      mounts: known({ holders: [holder], complete: true, kernelDetaches: true }),
    },
    ['mounts-held'],
    1,
  ],
  ['a lock that is held', { lock: known({ state: 'held', owner: undefined, untouchedMs: 200 }) }, [], 0],
  [
    'a stale lock and the state that goes with it',
    {
      lock: known({ state: 'stale', owner: undefined, untouchedMs: 90_000 }),
      status: status({ state: 'working' }),
    },
    ['worker-died'],
    1,
  ],
  [
    'a disk of the agent that does not answer',
    {
      lock: {
        known: false,
        why: 'read the lock: no answer within 60 s',
        blind: false,
        unresponsive: true,
      },
      key: unknown('look for the registration key: no answer within 60 s'),
      status: unknown('read the status: no answer within 60 s'),
    },
    ['disk-unresponsive'],
    2,
  ],
  [
    'a disk of the Docker root that does not answer',
    { fileSystem: { known: false, why: 'no answer within 60 s', blind: false, unresponsive: true } },
    ['disk-unresponsive'],
    2,
  ],
  ['no key beside an agent', { key: known('missing') }, ['key-missing'], 1],
  ['a damaged key', { key: known('damaged') }, ['key-damaged'], 2],
  [
    'keys that are revoked, and the agent knows',
    {
      server: answered({ credentials: { state: 'revoked', reason: '401' } }),
      status: status({ state: 'failed', cause: 'keys-revoked' }),
    },
    ['keys-revoked'],
    2,
  ],
  [
    'a proxy in front of the server',
    { server: answered({ credentials: { state: 'unknown', reason: 'status 502' } }) },
    ['server-answer'],
    1,
  ],
  [
    'no server',
    {
      server: known({
        url: 'https://rancher.example/v1',
        answer: { kind: 'none', reason: 'connection refused' },
      }),
    },
    ['server-unavailable'],
    2,
  ],
  ['a clock five minutes slow', { server: answered({ skewMs: 5 * minute }) }, ['clock-skew'], 1],
  ['a clock five minutes fast', { server: answered({ skewMs: -5 * minute }) }, ['clock-skew'], 1],
  ['a server without a clock', { server: answered({ skewMs: undefined }) }, [], 0],
  [
    'an upgrade that was put off',
    { status: status({ state: 'deferred', cause: 'try-again-later', hint: 'wait' }) },
    ['try-again-later'],
    1,
  ],
  [
    'an upgrade that failed',
    { status: status({ state: 'failed', cause: 'engine-error', hint: 'see its log' }) },
    ['engine-error'],
    2,
  ],
  [
    'a status nobody can read',
    { status: known({ kind: 'damaged', reason: 'not JSON' }) },
    ['status-damaged'],
    1,
  ],
  ['a host that was never touched but for an agent', { status: known({ kind: 'missing' }) }, [], 0],
];
