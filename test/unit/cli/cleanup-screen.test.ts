import { beforeEach, describe, expect, it } from 'vitest';
import { createCleanupScreen } from '../../../src/cli/cleanup-screen.ts';
import { createPaint } from '../../../src/cli/paint.ts';
import { renderBar, SpeedMeter, type Speed } from '../../../src/cli/progress-bar.ts';
import {
  renderCleanupJson,
  renderCleanupPlan,
  renderCleanupReport,
} from '../../../src/cli/render-cleanup.ts';
import type { CleanupScreen } from '../../../src/cleanup/clean-up-host.ts';
import type { Context } from '../../../src/commands/context.ts';
import type { CleanupReport, ListedContainer } from '../../../src/cleanup/report.ts';
import type { RemovalProgress } from '../../../src/cleanup/removal.ts';
import { findLeaks } from '../../../src/cleanup/leaks.ts';
import { countLeaks } from '../../../src/cleanup/leak-figures.ts';
import type { Scan } from '../../../src/cleanup/scan.ts';
import { printableValue } from '../../../src/support/printable.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';
import { leakedDetails, leakedSummary, now, shareMnt } from '../fakes/leaked.ts';
import { names } from '../fakes/role-names.ts';

const limits = defaultLimits;
const plain = { columns: 80, colour: false };
const escape = '\u001B';
const idle: RemovalProgress = {
  total: 2_000,
  done: 0,
  failed: 0,
  inProgress: 0,
  waiting: undefined,
};
const speed: Speed = { rate: 212.4, leftMs: 4_200 };

function progress(parts: Partial<RemovalProgress>): RemovalProgress {
  return { ...idle, ...parts };
}

describe('the progress bar', () => {
  const bar = (parts: Partial<RemovalProgress>, columns = 80, colour = false): string =>
    renderBar(progress(parts), speed, columns, createPaint(colour));

  it('shows how far the cleanup is, how fast, and how long the rest takes', () => {
    expect(bar({ done: 1_000 })).toBe(
      '[####################--------------------] 1000 of 2000, 50 %, 212/s, 4 s left',
    );
  });

  it.each([
    [{ done: 2_000, failed: 1_000 }, 80],
    [{ done: 1_000, failed: 3, waiting: 'worker' }, 80],
    [{ done: 1_000, waiting: 'engine' }, 80],
    [{ total: 123_456, done: 112_345, failed: 12_345 }, 80],
    [{ done: 10 }, 60],
  ] as const)('fits into a line with %j in %i columns', (parts, columns) => {
    expect(bar(parts, columns).length).toBeLessThan(columns);
  });

  it('has colours only where colours are allowed', () => {
    expect(bar({ done: 1, failed: 1 }, 80, true)).toContain(`${escape}[31m, 1 failed${escape}[39m`);
    expect(bar({ done: 1, failed: 1 })).not.toContain(escape);
  });
});

describe('the speed of a cleanup', () => {
  it('is the recent one, and shows how long the rest takes', () => {
    const meter = new SpeedMeter(10_000);
    for (let at = 0; at <= 60_000; at += 500) {
      // Slow for half a minute, then fast.
      const done = at <= 30_000 ? at / 100 : 300 + (at - 30_000) / 20;
      meter.note(progress({ done }), at);
    }
    const read = meter.read(progress({ done: 1_800 }), 60_000);
    expect(read.rate).toBeCloseTo(50, 0);
    expect(read.leftMs).toBeCloseTo(4_000, -2);
  });

  it('is unknown before anything was removed', () => {
    const meter = new SpeedMeter(10_000);
    meter.note(idle, 0);
    expect(meter.read(idle, 5_000)).toEqual({ rate: 0, leftMs: undefined });
  });
});

describe('the screen of a cleanup', () => {
  let written: string;
  let longestPiece: number;
  let lines: string[];
  let clock: number;

  beforeEach(() => {
    written = '';
    longestPiece = 0;
    lines = [];
    clock = now;
  });

  function screen(parts: { interactive?: boolean; asJson?: boolean; typed?: string } = {}): CleanupScreen {
    const context = {
      terminal: { ...plain, interactive: parts.interactive ?? true },
      keyboard: { interactive: true, readLine: async () => Promise.resolve(parts.typed ?? '') },
      clock: { now: () => clock, elapsed: () => clock },
      secrets: createSecrets(),
      configuration: { limits },
      log: { ...silentLog, info: (message: string) => lines.push(message) },
      write: (text: string) => {
        written += text;
        longestPiece = Math.max(longestPiece, text.length);
      },
    };
    return createCleanupScreen(context as unknown as Context, parts.asJson ?? false);
  }

  it.each([{ interactive: false }, { asJson: true }])(
    'writes a report of any length in pieces: %j',
    (parts) => {
      const container: ListedContainer = {
        result: 'would-remove',
        kind: 'inspect-host',
        id: 'c'.repeat(64),
        name: 'angry_darwin',
        image: 'rancher/agent:v1.0.2',
        command: '/run.sh inspect-host',
        state: 'exited',
        createdAt: '2016-07-01T12:00:00.000Z',
      };
      const containers = Array.from({ length: 2_000 }, () => container);
      screen(parts).showReport({ ...report, dryRun: true, containers });
      expect(written.length).toBeGreaterThan(100_000);
      expect(longestPiece).toBeLessThan(20_000);
    },
  );

  it('draws the bar no more often than a person sees, and a log line takes its place', () => {
    const shown = screen();
    for (let done = 0; done <= 1_000; done += 1) {
      clock += 1;
      shown.showProgress(progress({ done }));
    }
    expect(written.split('\r').length - 1).toBe(5);
    shown.log.info('something happened');
    expect(written.endsWith(`\r${escape}[2K`)).toBe(true);
    expect(lines).toEqual(['something happened']);
  });

  it.each([
    ['where stdout is no terminal', { interactive: false }],
    ['with --json', { asJson: true }],
  ])('without a bar, %s, shows the progress every few seconds', (_, parts) => {
    const shown = screen(parts);
    for (let done = 1; done <= 201; done += 1) {
      clock += 100;
      shown.showProgress(progress({ done, failed: 1 }));
    }
    expect(written).toBe('');
    expect(lines).toHaveLength(5);
    expect(lines.at(-1)).toBe('cleanup: 201 of 2000, 10 %, 10/s, 3 min left, 1 failed');
  });

  it.each([
    ['y\n', true],
    ['YES\n', true],
    ['\n', false],
    ['n\n', false],
    ['yesterday\n', false],
    ['', false],
  ])('takes the answer %j for %s', async (typed, expected) => {
    const shown = screen({ typed });
    expect(await shown.confirm(2, new AbortController().signal)).toBe(expected);
    expect(written).toBe('Inspect each of these 2 again and remove what is leaked? [y/N] ');
  });
});

function scan(parts: Partial<Scan> = {}): Scan {
  const listed = Array.from({ length: 40 }, (_, index) =>
    leakedSummary({
      id: `a${index}`,
      name: '',
      createdAt: now - (index + 1) * 3_600_000,
      ...(index % 4 === 0 ? { command: shareMnt.join(' ') } : {}),
    }),
  );
  const suspects = findLeaks(listed, names);
  return {
    suspects,
    young: 0,
    figures: countLeaks(suspects, now, limits),
    oldAgent: undefined,
    server: undefined,
    ...parts,
  };
}

const options = { dryRun: false, yes: false, stopAgent: false };

describe('the plan of a cleanup', () => {
  const render = (parts: Partial<Scan> = {}, more = {}): string =>
    renderCleanupPlan(scan(parts), { ...options, ...more }, { now, terminal: plain, limits });

  it('shows what cleanup would remove, of what age, by kind and image', () => {
    expect(render()).toBe(
      [
        '40 containers look like leaked helpers, 60 min to 40 h old:',
        '     30  inspect-host  rancher/agent:v1.0.2',
        '     10  share-mnt     rancher/agent:v1.0.2',
        '',
      ].join('\n'),
    );
  });

  it('shows that there is nothing to remove', () => {
    expect(render({ suspects: [] })).toBe('No leaked helpers of the legacy entrypoint.\n');
  });

  it('shows which agent leaks, which server causes it, and what helps', () => {
    const young = [1, 2, 3].map((minutes) =>
      leakedSummary({ id: `y${minutes}`, name: '', createdAt: now - minutes * 60_000 }),
    );
    const figures = countLeaks(findLeaks(young, names), now, limits);
    const oldAgent = leakedDetails({ name: 'rancher-agent', command: ['/run.sh', 'run'] });
    const parts = { figures, oldAgent, young: 3, server: 'http://server:8080/v1' };
    const text = render(parts);
    expect(text.replace(/\s+/g, ' ')).toContain(
      'STILL LEAKING: 3 were created recently, the last one 60 s ago. They come from the loop of rancher-agent ' +
        '(rancher/agent:v1.0.2), whose upgrades http://server:8080/v1 requires. With --stop-agent, cleanup stops it',
    );
    expect(text.split('\n').every((line) => line.length < 80)).toBe(true);
    expect(render(parts, { stopAgent: true })).not.toContain('With --stop-agent');
    expect(render({ figures }).replace(/\s+/g, ' ')).toContain(
      'No agent with the legacy entrypoint runs here.',
    );
  });
});

const report: CleanupReport = {
  version: 2,
  dryRun: false,
  end: 'all',
  found: 2_000,
  removed: 1_993,
  failed: 5,
  skipped: { 'has not exited': 2 },
  young: 4,
  left: 0,
  tookMs: 9_400,
  freedBytes: 141_000_000,
  leaking: false,
  failures: [
    {
      cause: 'held',
      count: 5,
      originalMessage: `remove ${'d'.repeat(64)}: device or resource busy`,
      examples: ['a'.repeat(64), 'b'.repeat(64)],
      holders: [
        { pid: 812, command: 'cadvisor', processes: 4, container: 'monitoring', mountPoint: '/rootfs/var/x' },
      ],
    },
  ],
};

describe('the summary of a cleanup', () => {
  const render = (parts: Partial<CleanupReport> = {}): string =>
    [...renderCleanupReport({ ...report, ...parts }, { terminal: plain, limits })].join('');

  it('shows what was removed, what failed and why, what holds it, what was skipped, the space freed and the time', () => {
    expect(render()).toBe(
      [
        'Removed 1993, failed 5, skipped 2, freed about 141 MB, in 9.4 s.',
        '5 failed: a process still has the mount; stop or restart that process',
        '  e.g. aaaaaaaaaaaa bbbbbbbbbbbb',
        '  message of the engine: remove dddddddddddd…: device or resource busy',
        '  held by cadvisor (pid 812 and 3 more, container monitoring): /rootfs/var/x',
        'Skipped: 2 has not exited.',
        'Too young: 4; run cleanup again later.',
        '',
      ].join('\n'),
    );
  });

  it.each([
    ['interrupted', 'Interrupted with 7 left; the next run removes them.'],
    ['failures', 'Stopped with 7 left: too many in a row failed.'],
    ['storage', 'Stopped at once with 7 left: the storage cannot take a change.'],
    ['away', 'Stopped with 7 left: the engine has not answered for too long.'],
  ] as const)('shows what to do next if it ended with %s', (end, text) => {
    expect(render({ end, left: 7 })).toContain(text);
  });

  it('shows that the agent still leaks, or could not be started', () => {
    const oldAgent = { name: 'rancher-agent', image: 'rancher/agent:v1.0.2' };
    expect(render({ oldAgent, leaking: true, agentRunsAgain: true }).replace(/\s+/g, ' ')).toContain(
      'rancher-agent (rancher/agent:v1.0.2) runs again and leaks until it is upgraded.',
    );
    expect(render({ oldAgent, agentRunsAgain: false })).toContain(
      'rancher-agent could not be started again: docker start rancher-agent',
    );
  });

  it('is a list in a dry run', () => {
    const container = {
      result: 'would-remove',
      id: 'c'.repeat(64),
      kind: 'inspect-host',
      name: 'angry_darwin',
      image: 'rancher/agent:v1.0.2',
      command: '/run.sh inspect-host',
      state: 'exited',
      createdAt: '2016-07-01T12:00:00.000Z',
    } as const;
    expect(render({ dryRun: true, containers: [container], skipped: {}, failures: [] })).toBe(
      [
        'cccccccccccc  inspect-host  exited    2016-07-01 12:00:00  rancher/agent:v1.0.2',
        'Dry run: cleanup would remove 1 container. Nothing was removed.',
        '',
      ].join('\n'),
    );
  });

  it('shows the metadata of a pool that was freed', () => {
    expect(render({ freedMetadataBytes: 6_550_000 })).toContain('freed about 141 MB (metadata: 6.55 MB), in');
  });

  it('is as JSON what JSON.stringify makes of it, with any number of containers', () => {
    const container = (id: string): ListedContainer => ({
      ...{ result: 'would-remove', kind: 'dead', id, name: 'a', image: 'b', command: 'c\n', state: 'dead' },
      createdAt: '2016-07-01T12:00:00.000Z',
    });
    for (const containers of [undefined, [], [container('1')], [container('1'), container('2')]]) {
      const whole = { ...report, ...(containers === undefined ? {} : { containers }) };
      expect([...renderCleanupJson(whole, printableValue)].join('')).toBe(
        `${JSON.stringify(whole, printableValue, 2)}\n`,
      );
    }
  });

  it('is short if a person declined', () => {
    expect(render({ end: 'declined' })).toBe('Nothing was removed.\n');
  });
});
