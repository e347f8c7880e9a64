import { createPaint } from '../../../src/cli/paint.ts';
import { describeProgress, renderBar } from '../../../src/cli/progress-bar.ts';
import { renderCleanupPlan, renderCleanupReport } from '../../../src/cli/render-cleanup.ts';
import { renderReady } from '../../../src/cli/render-ready.ts';
import type { ReadinessResult } from '../../../src/agent/run/readiness/result.ts';
import type { RemovalProgress } from '../../../src/cleanup/removal.ts';
import { countLeaks } from '../../../src/cleanup/leak-figures.ts';
import { findLeaks } from '../../../src/cleanup/leaks.ts';
import type { CleanupReport } from '../../../src/cleanup/report.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { names } from '../../unit/fakes/healthy-host.ts';
import { leakedDetails, leakedSummary, now, shareMnt } from '../../unit/fakes/leaked.ts';
import { screens, terminal } from './screen.ts';

const limits = defaultLimits;

const ready: ReadinessResult = {
  version: 1,
  container: 'a'.repeat(64),
  startedAt: 0,
  restartCount: 0,
  checkedAt: 0,
  server: 'https://rancher.example',
  ready: true,
  passed: ['programs', 'server', 'curl', 'keys', 'script'],
};

/** What `ready` shows. */
export function readyScreens(): string {
  const failure: ReadinessResult = {
    ...ready,
    ready: false,
    passed: ['programs', 'server'],
    failure: {
      check: 'curl',
      fault: 'way',
      cause: 'ready-curl-tls',
      message: "the image's curl does not trust the server's certificate",
      hint: "Check the certificates of the image, and /var/lib/rancher/etc/ssl/ca.crt on this host: the image's curl uses both.",
    },
    warnings: ['there is no modprobe in this image; some servers or parts of the agent call it'],
  };
  return screens([
    ['An image that can work for its server:', renderReady(ready, terminal)],
    ['One that cannot:', renderReady(failure, terminal)],
  ]);
}

const progress: RemovalProgress = {
  total: 400,
  done: 339,
  failed: 3,
  inProgress: 4,
  waiting: undefined,
};
const speed = { rate: 28, leftMs: 2_000 };

const report: CleanupReport = {
  version: 2,
  dryRun: false,
  end: 'all',
  found: 400,
  removed: 397,
  failed: 3,
  skipped: {},
  young: 0,
  left: 0,
  tookMs: 13_900,
  freedBytes: 42_400_000,
  leaking: false,
  failures: [
    {
      cause: 'immutable',
      count: 3,
      originalMessage: `container ${'6'.repeat(64)}: driver "overlay2" failed to remove root filesystem: unlinkat /var/lib/docker/overlay2/1c66/diff/file: operation not permitted`,
      examples: ['6'.repeat(64), '4'.repeat(64), '8'.repeat(64)],
      holders: [],
    },
  ],
};

/** What `cleanup` shows. */
export function cleanupScreens(): string {
  const view = { terminal, limits };
  const summary = (parts: Partial<CleanupReport>): string =>
    [...renderCleanupReport({ ...report, failed: 0, failures: [], ...parts }, view)].join('');
  const bar = renderBar(progress, speed, terminal.columns, createPaint(false));
  const listed = {
    result: 'would-remove',
    id: 'c'.repeat(64),
    kind: 'inspect-host',
    name: 'angry_darwin',
    image: 'rancher/agent:v1.0.2',
    command: '/run.sh inspect-host',
    state: 'exited',
    createdAt: '2016-07-01T12:00:00.000Z',
  } as const;
  return screens([
    ['What it found, before it asks:', plan(20 * 60_000, false)],
    ['While it removes, drawn again and again in its place:', bar],
    [
      'Where there is no terminal, a line every five seconds on stderr instead:',
      `INFO: ${describeProgress(progress, speed)}`,
    ],
    [
      'At its end, with three containers that cannot be removed:',
      [...renderCleanupReport(report, view)].join(''),
    ],
    ['On a host that still leaks, with `--stop-agent`:', plan(10_000, true)],
    [
      'and at its end:',
      summary({
        removed: 400,
        leaking: true,
        oldAgent: { name: 'rancher-agent', image: 'rancher/agent:v1.0.2' },
        agentRunsAgain: true,
      }),
    ],
    ['Ended by Ctrl-C:', summary({ end: 'interrupted', removed: 139, left: 261, tookMs: 1_000 })],
    ['With `--dry-run`:', summary({ dryRun: true, removed: 0, containers: [listed] })],
  ]);
}

/** 400 helpers, of which the youngest has that age; with `leaks` the legacy agent creates more. */
function plan(youngest: number, leaks: boolean): string {
  const listed = Array.from({ length: 400 }, (_, index) =>
    leakedSummary({
      id: String(index).padStart(64, '0'),
      name: 'sad_bohr',
      createdAt: now - youngest - index * 30_000,
      ...(index % 4 === 0 ? { command: shareMnt.join(' ') } : {}),
    }),
  );
  const suspects = findLeaks(listed, names);
  const scan = {
    suspects,
    young: 0,
    figures: countLeaks(suspects, now, limits),
    oldAgent: leaks ? leakedDetails({ name: 'rancher-agent', command: ['/run.sh', 'run'] }) : undefined,
    server: leaks ? 'http://server:8080/v1' : undefined,
  };
  const options = { dryRun: false, yes: false, stopAgent: leaks };
  return renderCleanupPlan(scan, options, { now, terminal, limits });
}
