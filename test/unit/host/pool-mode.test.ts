import { expect, it } from 'vitest';
import { parsePoolStatus, readPoolMode } from '../../../src/host/pool-mode.ts';
import type { CommandRunner } from '../../../src/host/processes.ts';
import { pathsBelow } from '../../../src/support/configuration.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';

/** As kernels print it; 3.10 has no word about a check, and no watermark. */
const status = (words: string): string => `0 12582912 thin-pool 3 283/2048 5435/98304 - ${words}\n`;

it.each([
  ['works', status('rw discard_passdown queue_if_no_space - 1024'), { mode: 'rw', needsCheck: false }],
  ['of 3.10', status('rw no_discard_passdown'), { mode: 'rw', needsCheck: false }],
  ['full', status('ro discard_passdown queue_if_no_space - 1024'), { mode: 'ro', needsCheck: false }],
  [
    'to be checked',
    status('ro discard_passdown error_if_no_space needs_check 1024'),
    { mode: 'ro', needsCheck: true },
  ],
  [
    'without data space',
    status('out_of_data_space discard_passdown queue_if_no_space - 1024'),
    { mode: 'out-of-data', needsCheck: false },
  ],
  ['that failed', '0 12582912 thin-pool Fail\n', { mode: 'failed', needsCheck: false }],
  ['of another kind', '0 12582912 linear\n', undefined],
  ['with words that are new', status('sleepy'), undefined],
  ['without a word', '', undefined],
])('a pool %s', (_title, text, expected) => {
  expect(parsePoolStatus(text)).toEqual(expected);
});

it('asks the dmsetup of the host, in the mounts of the host, for that pool alone', async () => {
  const commands: string[] = [];
  const run: CommandRunner = async (file, args) => {
    commands.push([file, ...args].join(' '));
    return Promise.resolve({ status: 0, stdout: status('rw'), stderr: '' });
  };
  const host = { paths: pathsBelow('/var/lib/rancher', '/host/proc'), limits: defaultLimits, run };
  expect(await readPoolMode(host, 'docker-253:0-1048641-pool')).toEqual({ mode: 'rw', needsCheck: false });
  for (const name of ['', '--help', 'a b', '-pool']) expect(await readPoolMode(host, name)).toBeUndefined();
  expect(commands).toEqual([
    'nsenter --mount=/host/proc/1/ns/mnt -- dmsetup status --noflush docker-253:0-1048641-pool',
  ]);
});
