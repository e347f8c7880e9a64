import { lookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createReporter } from '../../../../src/agent/report/reporter.ts';
import { createMetricsWriter } from '../../../../src/agent/report/metrics.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { createSecrets } from '../../../../src/support/secrets.ts';

/*
 * A process that reports while the folder of its metrics does not answer, for metrics-file.test.ts. It prints a JSON line: after how many
 * ms each report was over, and whether Node had a free thread after all of them.
 */

const [, , folder = '', file = ''] = process.argv;
const view = {
  configuration: {
    // Without a /proc of its own, the path of the file is taken as it stands.
    paths: pathsBelow(folder, join(folder, 'proc')),
    limits: { ...defaultLimits, METRICS_FILE: 300, HOST_FILE: 300 },
    environment: { AGENT_METRICS_FILE: file },
  },
  clock: systemClock,
  log: silentLog,
};

const reporter = createReporter({ ...view, secrets: createSecrets(), command: 'upgrade', version: '1' });
const writeMetrics = createMetricsWriter(view);
const took: number[] = [];
for (let turn = 0; turn < 12; turn += 1) {
  const begun = performance.now();
  await Promise.all([reporter.working(`turn ${turn}`, 'stop'), writeMetrics()]);
  took.push(Math.round(performance.now() - begun));
}
const free = await Promise.race([
  Promise.all([lookup('localhost'), readFile('/etc/hostname')]).then(() => true),
  sleep(2_000, false),
]);
process.stdout.write(`${JSON.stringify({ took, free })}\n`);
process.kill(process.pid, 'SIGKILL');
