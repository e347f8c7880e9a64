import { describe, expect, it } from 'vitest';
import { renderReady } from '../../../src/cli/render-ready.ts';
import { exitCodeOfReadiness } from '../../../src/commands/ready.ts';
import type { Fault, ReadinessResult } from '../../../src/agent/run/readiness/result.ts';

const ready: ReadinessResult = {
  version: 1,
  container: 'a',
  startedAt: 0,
  restartCount: 0,
  checkedAt: 0,
  server: 'https://rancher.example',
  ready: true,
  passed: ['programs', 'server', 'curl', 'keys', 'script'],
};
const failed = (fault: Fault): ReadinessResult => ({
  ...ready,
  ready: false,
  passed: ['programs', 'server'],
  failure: {
    check: 'curl',
    fault,
    cause: 'ready-curl-tls',
    message: "the image's curl does not trust the server's certificate",
    hint: 'Check the certificates of the image.',
  },
  warnings: ['there is no modprobe in this image; some servers or parts of the agent call it'],
});

describe('what a person sees of the readiness', () => {
  it('a line for each check that passed, and the verdict', () => {
    expect(renderReady(ready, { columns: 80, colour: false })).toBe(
      ' ✓ programs\n ✓ server\n ✓ curl\n ✓ keys\n ✓ script\n\n Ready: this image can work for https://rancher.example.\n',
    );
  });

  it('the check that failed, why, and what to do', () => {
    expect(renderReady(failed('way'), { columns: 80, colour: false })).toBe(
      [
        ' ✓ programs',
        ' ✓ server',
        " ✗ curl: the image's curl does not trust the server's certificate",
        '   → Check the certificates of the image.',
        ' ! programs: there is no modprobe in this image; some servers or parts of the',
        '   agent call it',
        '',
        ' Not ready: ready-curl-tls.',
        '',
      ].join('\n'),
    );
  });

  it.each([
    ['image', 73],
    ['way', 75],
    ['server', 75],
    ['keys', 77],
  ] as const)('a fault of the %s exits with %i', (fault, status) => {
    expect(exitCodeOfReadiness(failed(fault))).toBe(status);
  });

  it('ready exits with 0', () => {
    expect(exitCodeOfReadiness(ready)).toBe(0);
  });
});
