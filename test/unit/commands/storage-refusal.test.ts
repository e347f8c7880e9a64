import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Context } from '../../../src/commands/context.ts';
import { reportingRefusal } from '../../../src/commands/storage-refusal.ts';
import { StorageLowError } from '../../../src/host/errors.ts';
import { pathsBelow, readConfiguration } from '../../../src/support/configuration.ts';
import { silentLog } from '../../../src/support/log.ts';
import { commandContext } from '../fakes/command-context.ts';

const refusal = new StorageLowError('the storage of this host is low: 91 % used', { hint: 'clean up' });
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'refusal-'));
  await mkdir(join(folder, 'proc/self'), { recursive: true });
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

/** @param mounted whether the folder of the host is mounted here */
async function contextOf(mounted: boolean, told: string[] = []): Promise<Context> {
  const line = mounted ? `30 20 8:1 /x ${folder}/rancher rw - ext4 /dev/sda1 rw\n` : '';
  await writeFile(join(folder, 'proc/self/mountinfo'), line);
  return commandContext({
    configuration: {
      ...readConfiguration({}, 'host'),
      paths: pathsBelow(join(folder, 'rancher'), join(folder, 'proc')),
    },
    log: { ...silentLog, info: (message) => told.push(message) },
    command: 'upgrade',
  });
}

const refuse = async (): Promise<never> => Promise.reject(refusal);

it('an upgrade that is refused for storage before there is a worker leaves the state deferred', async () => {
  await expect(reportingRefusal(await contextOf(true), refuse)).rejects.toBe(refusal);
  expect(JSON.parse(await readFile(join(folder, 'rancher/entrypoint/status.json'), 'utf8'))).toMatchObject({
    state: 'deferred',
    cause: 'storage-low',
    exitCode: 75,
    summary: 'the storage of this host is low: 91 % used',
    hint: 'clean up',
    command: 'upgrade',
  });
});

it('says so where the folder of the host cannot be reached, and any other error is not its business', async () => {
  const told: string[] = [];
  await expect(reportingRefusal(await contextOf(false, told), refuse)).rejects.toBe(refusal);
  expect(told).toEqual(['the state of this host does not show this: /var/lib/rancher is not mounted here']);
  const other = new Error('x');
  const context = await contextOf(true, told);
  await expect(reportingRefusal(context, async () => Promise.reject(other))).rejects.toBe(other);
  await expect(readFile(join(folder, 'rancher/entrypoint/status.json'))).rejects.toThrow('ENOENT');
});
