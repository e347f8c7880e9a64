import { beforeEach, describe, expect, it } from 'vitest';
import { createCleanupScreen } from '../../../src/cli/cleanup-screen.ts';
import { createPaint } from '../../../src/cli/paint.ts';
import { renderBar, SpeedMeter, type Speed } from '../../../src/cli/progress-bar.ts';
import { renderCleanupPlan, renderCleanupReport } from '../../../src/cli/render-cleanup.ts';
import type { CleanupScreen } from '../../../src/commands/cleanup.ts';
import type { Context } from '../../../src/commands/context.ts';
import type { CleanupReport } from '../../../src/cleanup/report.ts';
import type { CleanupProgress } from '../../../src/cleanup/remove-many.ts';
import { findSuspects } from '../../../src/cleanup/leaks.ts';
import { countLeaks } from '../../../src/cleanup/leak-figures.ts';
import type { Survey } from '../../../src/cleanup/scan.ts';
import { namesOf } from '../../../src/agent/identity/roles.ts';
import { selectProfile } from '../../../src/agent/identity/profile.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';
import { leakedDetails, leakedSummary, now, shareMnt } from '../fakes/leaked.ts';

const limits = defaultLimits;
const plain = { columns: 80, colour: false };
const escape = '\u001B';
const idle: CleanupProgress = {
  total: 2_000,
  removed: 0,
  failed: 0,
  skipped: 0,
  inHand: 0,
  waiting: undefined,
};
const speed: Speed = { rate: 212.4, leftMs: 4_200 };

function progress(parts: Partial<CleanupProgress>): CleanupProgress {
  return { ...idle, ...parts };
}

describe('the bar', () => {
  const bar = (parts: Partial<CleanupProgress>, columns = 80, colour = false): string =>
    renderBar(progress(parts), speed, columns, createPaint(colour));

  it('says how far it is, how fast, and how long it takes', () => {
    expect(bar({ removed: 1_000 })).toBe(
      '[####################--------------------] 1000 of 2000, 50 %, 212/s, 4 s left',
    );
  });

  it.each([
    [{ removed: 1_000, failed: 1_000 }, 80],
    [{ removed: 1_000, failed: 3, waiting: 'worker' }, 80],
    [{ removed: 1_000, waiting: 'engine' }, 80],
    [{ total: 123_456, removed: 100_000, failed: 12_345 }, 80],
    [{ removed: 10 }, 60],
  ] as const)('fits into the line: %j in %i columns', (parts, columns) => {
    expect(bar(parts, columns).length).toBeLessThan(columns);
  });

  it('has colours only where there may be some', () => {
    expect(bar({ removed: 1, failed: 1 }, 80, true)).toContain(`${escape}[31m, 1 failed${escape}[0m`);
    expect(bar({ removed: 1, failed: 1 })).not.toContain(escape);
  });
});

describe('the speed', () => {
  it('is that of late, and says how long the rest takes', () => {
    const meter = new SpeedMeter(10_000);
    for (let at = 0; at <= 60_000; at += 500) {
      // Slow for half a minute, then fast.
      const removed = at <= 30_000 ? at / 100 : 300 + (at - 30_000) / 20;
      meter.note(progress({ removed }), at);
    }
    const read = meter.read(progress({ removed: 1_800 }), 60_000);
    expect(read.rate).toBeCloseTo(50, 0);
    expect(read.leftMs).toBeCloseTo(4_000, -2);
  });

  it('is not known before anything was removed', () => {
    const meter = new SpeedMeter(10_000);
    meter.note(idle, 0);
    expect(meter.read(idle, 5_000)).toEqual({ rate: 0, leftMs: undefined });
  });
});

describe('the screen', () => {
  let written: string;
  let originalMessage: string[];
  let clock: number;

  beforeEach(() => {
    written = '';
    originalMessage = [];
    clock = now;
  });

  function screen(parts: { interactive?: boolean; asJson?: boolean; typed?: string } = {}): CleanupScreen {
    const context = {
      terminal: { ...plain, interactive: parts.interactive ?? true },
      keyboard: { interactive: true, readLine: async () => Promise.resolve(parts.typed ?? '') },
      clock: { now: () => clock, elapsed: () => clock },
      secrets: createSecrets(),
      configuration: { limits },
      log: { ...silentLog, info: (message: string) => originalMessage.push(message) },
      write: (text: string) => {
        written += text;
      },
    };
    return createCleanupScreen(context as unknown as Context, parts.asJson ?? false);
  }

  it('draws the bar no more often than a person sees, and a log line takes its place', () => {
    const shown = screen();
    for (let removed = 0; removed <= 1_000; removed += 1) {
      clock += 1;
      shown.showProgress(progress({ removed }));
    }
    expect(written.split('\r').length - 1).toBe(5);
    shown.log.info('something happened');
    expect(written.endsWith(`\r${escape}[2K`)).toBe(true);
    expect(originalMessage).toEqual(['something happened']);
  });

  it.each([
    ['elsewhere', { interactive: false }],
    ['beside JSON', { asJson: true }],
  ])('%s says how far it is every few seconds', (_, parts) => {
    const shown = screen(parts);
    for (let removed = 0; removed <= 200; removed += 1) {
      clock += 100;
      shown.showProgress(progress({ removed, failed: 1 }));
    }
    expect(written).toBe('');
    expect(originalMessage).toHaveLength(5);
    expect(originalMessage.at(-1)).toBe('clean-up: 201 of 2000, 10 %, 10/s, 3 min left, 1 failed');
  });

  it.each([
    ['y\n', true],
    ['YES\n', true],
    ['\n', false],
    ['n\n', false],
    ['yesterday\n', false],
    ['', false],
  ])('an answer of %j means %s', async (typed, expected) => {
    const shown = screen({ typed });
    expect(await shown.confirm(2, new AbortController().signal)).toBe(expected);
    expect(written).toBe('Look at each of these 2 once more and remove what is leaked? [y/N] ');
  });
});

const names = namesOf(selectProfile('rancher-1.2', {}));

function survey(parts: Partial<Survey> = {}): Survey {
  const listed = Array.from({ length: 40 }, (_, index) =>
    leakedSummary({
      id: `a${index}`,
      name: '',
      createdAt: now - (index + 1) * 3_600_000,
      ...(index % 4 === 0 ? { command: shareMnt.join(' ') } : {}),
    }),
  );
  const suspects = findSuspects(listed, names);
  return {
    suspects,
    young: 0,
    dead: [],
    figures: countLeaks(suspects, now, limits),
    oldAgent: undefined,
    server: undefined,
    ...parts,
  };
}

const options = { dryRun: false, yes: false, stopAgent: false };

describe('the plan', () => {
  const render = (parts: Partial<Survey> = {}, more = {}): string =>
    renderCleanupPlan(survey(parts), { ...options, ...more }, { now, terminal: plain, limits });

  it('says what would go, of what age, by kind and image', () => {
    expect(render()).toBe(
      [
        '40 containers look like leaked helpers, 60 min to 40 h old:',
        '     30  inspect-host  rancher/agent:v1.0.2',
        '     10  share-mnt     rancher/agent:v1.0.2',
        '',
      ].join('\n'),
    );
  });

  it('says when there is nothing', () => {
    expect(render({ suspects: [] })).toBe('No leaked helpers of older entrypoints.\n');
  });

  it('says who leaks, who asks for it, and what helps', () => {
    const young = [1, 2, 3].map((minutes) =>
      leakedSummary({ id: `y${minutes}`, name: '', createdAt: now - minutes * 60_000 }),
    );
    const figures = countLeaks(findSuspects(young, names), now, limits);
    const oldAgent = leakedDetails({ name: 'rancher-agent', command: ['/run.sh', 'run'] });
    const parts = { figures, oldAgent, young: 3, server: 'http://server:8080/v1' };
    const text = render(parts);
    expect(text.replace(/\s+/g, ' ')).toContain(
      'STILL LEAKING: 3 were made of late, the last one 60 s ago. They come from the loop of rancher-agent ' +
        '(rancher/agent:v1.0.2), asked by http://server:8080/v1. With --stop-agent it is stopped',
    );
    expect(text.split('\n').every((line) => line.length < 80)).toBe(true);
    expect(render(parts, { stopAgent: true })).not.toContain('With --stop-agent');
    expect(render({ figures }).replace(/\s+/g, ' ')).toContain('No agent of an older entrypoint runs here.');
  });
});

const report: CleanupReport = {
  version: 2,
  dryRun: false,
  end: 'all',
  found: 2_000,
  removed: 1_993,
  failed: 5,
  skipped: { 'has not ended': 2 },
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

describe('the summary', () => {
  const render = (parts: Partial<CleanupReport> = {}): string =>
    renderCleanupReport({ ...report, ...parts }, { terminal: plain, limits });

  it('says what went, what failed and why, who holds it, what was skipped, what came free, how long it took', () => {
    expect(render()).toBe(
      [
        'Removed 1993, failed 5, skipped 2, freed about 141 MB, in 9.4 s.',
        '5 failed: a process still has the mount; end or restart who holds it',
        '  e.g. aaaaaaaaaaaa bbbbbbbbbbbb',
        '  the engine says: remove dddddddddddd…: device or resource busy',
        '  held by cadvisor (pid 812 and 3 more, container monitoring): /rootfs/var/x',
        'Skipped: 2 has not ended.',
        'Too young to be judged: 4; run cleanup again later.',
        '',
      ].join('\n'),
    );
  });

  it.each([
    ['interrupted', 'Stopped with 7 left; the next run goes on.'],
    ['failures', 'Ended with 7 left: too many in a row failed.'],
    ['away', 'Ended with 7 left: the engine has not answered for too long.'],
  ] as const)('of one that ended with %s says how it goes on', (end, text) => {
    expect(render({ end, left: 7 })).toContain(text);
  });

  it('says that the agent leaks on, or could not be started', () => {
    const oldAgent = { name: 'rancher-agent', image: 'rancher/agent:v1.0.2' };
    expect(render({ oldAgent, leaking: true, agentRunsAgain: true }).replace(/\s+/g, ' ')).toContain(
      'rancher-agent (rancher/agent:v1.0.2) runs again and will leak until it is upgraded.',
    );
    expect(render({ oldAgent, agentRunsAgain: false })).toContain(
      'rancher-agent could not be started again: docker start rancher-agent',
    );
  });

  it('of a dry run is the list', () => {
    const container = {
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
        'Dry run: 1 container would be removed, nothing was.',
        '',
      ].join('\n'),
    );
  });

  it('of one that was not wanted is short', () => {
    expect(render({ end: 'declined' })).toBe('Nothing was removed.\n');
  });
});
