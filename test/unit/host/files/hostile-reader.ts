import { lookup } from 'node:dns/promises';
import { join } from 'node:path';
import { readServing } from '../../../../src/agent/run/serving/file.ts';
import { readAgentConf } from '../../../../src/control-plane/agent-conf.ts';
import { readKeptTrust } from '../../../../src/control-plane/trust-store.ts';
import { readAttempts } from '../../../../src/host/files/attempts.ts';
import { readLockHolder, withHostLock } from '../../../../src/host/files/lock.ts';
import { writeMetricsFile, type Metrics } from '../../../../src/host/files/metrics-file.ts';
import { readReported } from '../../../../src/host/files/reported.ts';
import { readStatus } from '../../../../src/host/files/status.ts';
import { ensureRegistrationKey } from '../../../../src/host/identity.ts';
import { readRegistryCredentials } from '../../../../src/host/registry-credentials.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';

/*
 * A process that reads every file of a host, for hostile-files.test.ts. It prints one JSON line: of each reader what it says, and after
 * how many ms. Then it looks up a name and reads a file: that works only while Node has a free thread.
 */

const [, , folder = ''] = process.argv;
const paths = pathsBelow(folder);
const limits = { ...defaultLimits, LOCK_WAIT: 100 };
const noMetrics: Metrics = {
  state: undefined,
  since: undefined,
  lastSuccessAt: undefined,
  failedAttempts: 0,
  nextAttemptAt: undefined,
  unremovable: 0,
  lockAge: undefined,
  leaks: undefined,
  serving: undefined,
};
const owner = { command: 'read', pid: process.pid };

const readers: Readonly<Record<string, () => Promise<unknown>>> = {
  status: () => readStatus(paths),
  attempts: () => readAttempts(paths),
  serving: () => readServing(paths, systemClock, limits),
  reported: () => readReported(paths),
  lockHolder: () => readLockHolder(paths.entrypoint, limits, Date.now()),
  lock: () =>
    withHostLock({ folder: paths.entrypoint, owner, limits, clock: systemClock, log: silentLog }, () =>
      Promise.resolve('held'),
    ),
  hostKey: () => ensureRegistrationKey(paths, (size) => Buffer.alloc(size, 0xab)),
  agentConf: () => readAgentConf(join(folder, 'etc/agent.conf')),
  caFile: () => readKeptTrust(join(folder, 'etc/ssl/ca.crt')),
  credentials: () => readRegistryCredentials(join(folder, 'docker'), 'rancher/agent'),
  metrics: () => writeMetricsFile(paths, join(folder, 'metrics/rancher.prom'), noMetrics),
};

async function say(work: () => Promise<unknown>): Promise<{ ms: number; says: string }> {
  const begun = performance.now();
  const says = await work().then(
    (value) => (value === undefined ? 'nothing' : JSON.stringify(value)),
    (error: unknown) => `${String(error)} ${JSON.stringify(error)}`,
  );
  return { ms: Math.round(performance.now() - begun), says };
}

const answers = await Promise.all(
  Object.entries(readers).map(async ([name, work]) => [name, await say(work)] as const),
);
await lookup('localhost');
process.stdout.write(`${JSON.stringify(Object.fromEntries(answers))}\n`);
