import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { renderCleanupJson, renderCleanupPlan, renderCleanupReport } from '../../src/cli/render-cleanup.ts';
import { renderDoctor } from '../../src/cli/render-doctor.ts';
import { renderReady } from '../../src/cli/render-ready.ts';
import { renderChange, renderStatus } from '../../src/cli/render-status.ts';
import { countLeaks } from '../../src/cleanup/leak-figures.ts';
import { findLeaks } from '../../src/cleanup/leaks.ts';
import { composeEventType } from '../../src/control-plane/events.ts';
import { quote, readApiError } from '../../src/control-plane/http/answer.ts';
import { buildStatusReport, type StatusReport } from '../../src/doctor/status-report.ts';
import { statusFileOf, writeStatus } from '../../src/host/files/status.ts';
import { pathsBelow } from '../../src/support/configuration.ts';
import { fixedLimits } from '../../src/support/limits/fixed.ts';
import { defaultLimits as limits } from '../../src/support/limits/limits.ts';
import { createLog } from '../../src/support/log.ts';
import { createPrintableStream, printableValue } from '../../src/support/printable.ts';
import { createSecrets } from '../../src/support/secrets.ts';
import { agent, diagnosisOf, known, listed, names, now } from './fakes/healthy-host.ts';
import { leakedSummary } from './fakes/leaked.ts';

/*
 * A tenant of the host chooses names of processes, mounts, containers and images; the server, the engine and a registry choose their
 * messages. None of it moves the cursor of root's terminal, hides text, turns its direction, or forges a line.
 */

const evil = '\x1b[1;1H\x1b[J\x1b[8mgone\x9b2J\u202egnp\u2066\r\nINFO: forged\b\x07\u2028end';
const controls = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069]/;
// Wide: no line ends where one of them could be forged.
const view = { columns: 10_000, colour: false };

function expectSafe(text: string): void {
  expect(text).toMatch(/gone/);
  expect(text).not.toMatch(controls);
  expect(text).not.toMatch(/^INFO: forged/m);
}

const mounts = known({
  holders: [
    {
      ...{ pid: 4242, command: evil, processes: 1, container: undefined, hostNamespace: false, mounts: 1 },
      mountPoints: [`/x/${evil}/merged`],
    },
  ],
  complete: true,
  kernelDetaches: false,
});

describe('no text of others controls', () => {
  it('the doctor’s table, or its JSON', () => {
    const found = diagnosisOf({
      mounts,
      agents: known([agent({ image: `rancher/agent:${evil}`, name: evil })]),
      containers: known([listed({ name: evil, image: evil })]),
    });
    expectSafe(renderDoctor(found, view));
    const json = JSON.stringify(found, printableValue, 2);
    expectSafe(json);
    expect(JSON.parse(json)).toMatchObject({ verdict: found.verdict });
  });

  function reportWith(text: string): StatusReport {
    const at = new Date(now - 5_000).toISOString();
    return buildStatusReport(
      {
        now,
        status: known({
          kind: 'valid',
          status: {
            ...{ version: 2, state: 'failed', since: at, updatedAt: at, command: 'upgrade' },
            ...{ entrypointVersion: '1', summary: text, originalMessage: text, hint: text, next: text },
            ...{ target: text, lastLog: [text] },
            unremovable: [
              {
                ...{ name: text, id: 'a'.repeat(64), originalMessage: text },
                holders: [{ pid: 1, command: text, processes: 2, container: text, mountPoint: text }],
              },
            ],
          },
        }),
        serving: known({ kind: 'damaged', reason: text }),
        agents: known([agent({ image: text, name: text })]),
        lock: known({ state: 'free' }),
        attempts: known([{ image: text, failures: 2 }]),
        leaks: known(countLeaks([], now, limits)),
        transport: known({ kept: { origin: text, since: at, by: 'agent' }, https: 'unset' }),
      } as unknown as Parameters<typeof buildStatusReport>[0],
      limits,
    );
  }

  it('the status, a change of it, or its JSON', () => {
    const report = reportWith(evil);
    expectSafe(renderStatus(report, now, view));
    expectSafe(renderChange(report));
    expect(renderChange(report).split('\n')).toHaveLength(2);
    expectSafe(JSON.stringify(report, printableValue));
  });

  it('what a cleanup shows', () => {
    const suspects = findLeaks([leakedSummary({ image: `a/b:${evil}` })], names);
    const scan = {
      ...{ suspects, young: 0, oldAgent: { name: evil, image: evil }, server: evil },
      figures: { ...countLeaks(suspects, now, limits), leaking: true },
    };
    const options = { dryRun: true, yes: false, stopAgent: false };
    expectSafe(
      renderCleanupPlan(scan as unknown as Parameters<typeof renderCleanupPlan>[0], options, {
        ...{ now, terminal: view, limits },
      }),
    );
    const holder = { pid: 1, command: evil, processes: 1, container: evil, mountPoint: evil };
    const report = {
      ...{ end: 'all', dryRun: false, removed: 1, failed: 1, left: 0, young: 0, skipped: {}, tookMs: 1 },
      ...{ leaking: true, oldAgent: { name: evil, image: evil }, agentRunsAgain: false, holders: [] },
      containers: [
        { id: 'a'.repeat(64), kind: 'dead', state: 'dead', createdAt: '2016', image: evil, name: evil },
      ],
      failures: [{ cause: 'held', count: 1, originalMessage: evil, examples: ['a'], holders: [holder] }],
    };
    for (const dryRun of [true, false]) {
      const shown = { ...report, dryRun } as unknown as Parameters<typeof renderCleanupReport>[0];
      expectSafe([...renderCleanupReport(shown, { terminal: view, limits })].join(''));
      expectSafe([...renderCleanupJson(shown, printableValue)].join(''));
    }
  });

  it('what `ready` shows', () => {
    const failure = { check: 'curl', fault: 'way', cause: 'ready-curl-tls', message: evil, hint: evil };
    const result = {
      ...{ version: 1, container: 'a', startedAt: 0, restartCount: 0, checkedAt: 0, ready: false },
      ...{ server: evil, passed: [], failure, warnings: [evil] },
    };
    expectSafe(renderReady(result as unknown as Parameters<typeof renderReady>[0], view));
  });

  it.each(['text', 'json'] as const)('the log (%s): one line is one line', (format) => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = createLog({ format, debug: true, secrets: createSecrets(), destination });
    log.warn(`pull failed: ${evil}`, { name: evil, short: '\x1b[31mgone', list: [evil], deep: { evil } });
    expect(lines).toHaveLength(1);
    expectSafe(lines[0] ?? '');
    expect(lines[0]).toMatch(/^[^\n]*\n$/);
  });

  it('the log: it stays readable when one text has a megabyte', () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = createLog({ format: 'text', debug: true, secrets: createSecrets(), destination });
    log.warn('x'.repeat(1_000_000), { error: '🐄'.repeat(500_000) });
    expect(lines[0]?.length).toBeLessThan(2 * fixedLimits.FOREIGN_TEXT + 100);
    expect(lines[0]?.isWellFormed()).toBe(true);
  });

  it('the status file; and no text makes it larger than what is read', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'foreign-'));
    onTestFinished(async () => rm(folder, { recursive: true, force: true }));
    const paths = pathsBelow(folder);
    const secrets = createSecrets();
    secrets.add('open-sesame-123');
    const originalMessage = `${evil}${'x'.repeat(fixedLimits.FOREIGN_TEXT - evil.length - 3)}open-sesame-123${'y'.repeat(2_000_000)}`;
    const draft = {
      state: 'failed',
      summary: evil,
      originalMessage,
      lastLog: [evil],
      command: 'upgrade',
    } as const;
    await writeStatus(
      { paths, now, scrub: (text) => secrets.scrub(text) },
      { ...draft, lastLog: [evil], entrypointVersion: '1' },
    );
    const text = await readFile(statusFileOf(paths), 'utf8');
    expectSafe(text);
    expect(text.length).toBeLessThan(100_000);
    expect(text).not.toMatch(/open-s/);
  });

  it('the log of a worker on the terminal of its caller, however it is cut into pieces', () => {
    const bytes = Buffer.from(`INFO: working\n${evil}\nINFO: Zürich 🐄\n`);
    for (const size of [1, 2, 3, 7, 1_000]) {
      const safe = createPrintableStream();
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size) pieces.push(safe(bytes.subarray(at, at + size)));
      const text = Buffer.concat(pieces).toString();
      expect(text).not.toMatch(controls);
      expect(text.startsWith('INFO: working\n')).toBe(true);
      expect(text.endsWith('\nINFO: Zürich 🐄\n')).toBe(true);
    }
  });

  it('a quote of an answer, or what is reported to the server', () => {
    expectSafe(quote(evil));
    expectSafe(composeEventType(evil));
    expectSafe(readApiError({ text: JSON.stringify({ type: 'error', message: evil }) }) ?? '');
    expect(quote(evil)).not.toContain('\n');
  });
});
