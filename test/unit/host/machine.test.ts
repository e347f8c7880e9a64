import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { registrationKeyFileOf } from '../../../src/host/identity.ts';
import { isOtherMachine, keepMachine, machineFileOf, readMachine } from '../../../src/host/machine.ts';
import { pathsBelow } from '../../../src/support/paths.ts';

const now = Date.parse('2026-11-29T00:00:00Z');
const number = '4c4c4544-0042-3510-8052-b4c04f4e4a32';
/** The same number as a kernel before 4.2 shows it. */
const numberOfOldKernel = '44454c4c-4200-1035-8052-b4c04f4e4a32';
const otherNumber = '4c4c4544-0042-3510-8052-b4c04f4e4a33';

/** A host with what tells it apart from others; the process sees its mounts. */
async function startMachine({
  hardware,
  system,
}: { readonly hardware?: string; readonly system?: string } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'machine-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const paths = pathsBelow(join(folder, 'rancher'), join(folder, 'proc'));
  for (const [name, namespace] of [
    ['self', 'mnt:[2]'],
    ['1', 'mnt:[1]'],
  ] as const) {
    await mkdir(join(paths.proc, name, 'ns'), { recursive: true });
    await symlink(namespace, join(paths.proc, name, 'ns/mnt'));
  }
  const put = async (path: string, text: string): Promise<void> => {
    const file = join(paths.proc, '1/root', path);
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, `${text}\n`);
  };
  const become = async (machine: { readonly hardware?: string; readonly system?: string }) => {
    await rm(join(paths.proc, '1/root'), { recursive: true, force: true });
    if (machine.hardware !== undefined) await put('sys/class/dmi/id/product_uuid', machine.hardware);
    if (machine.system !== undefined) await put('etc/machine-id', machine.system);
  };
  await become({
    ...(hardware === undefined ? {} : { hardware }),
    ...(system === undefined ? {} : { system }),
  });
  const setKey = async (key: string): Promise<void> => {
    await mkdir(paths.state, { recursive: true });
    await writeFile(registrationKeyFileOf(paths), `${key}\n`);
  };
  await setKey('ab'.repeat(64));
  const keep = async () => keepMachine(paths, now, 5_000);
  const read = async () => readMachine(paths, paths, 5_000);
  return { paths, become, setKey, keep, read };
}

describe('the machine that a host key belongs to', () => {
  it('is kept once, for root alone, and without a number or the key in clear', async () => {
    const { paths, keep, read } = await startMachine({ hardware: number, system: 'abcd1234' });
    expect(await read()).toEqual({ kind: 'unknown' });
    expect(await keep()).toEqual({ kind: 'same' });
    expect(await read()).toEqual({ kind: 'same' });
    const text = await readFile(machineFileOf(paths), 'utf8');
    for (const secret of [number, 'abcd1234', 'abababab']) expect(text).not.toContain(secret);
    expect((await stat(machineFileOf(paths))).mode & 0o777).toBe(0o600);
  });

  it('is another one after a copy of the disk, for good: nobody but a person takes that back', async () => {
    const { paths, become, keep, read } = await startMachine({ hardware: number, system: 'same' });
    await keep();
    await become({ hardware: otherNumber, system: 'same' });
    const other = { kind: 'other', since: new Date(now).toISOString() };
    expect(await read()).toEqual(other);
    expect(await keep()).toEqual(other);
    expect(await keep()).toEqual(other);
    await rm(machineFileOf(paths));
    expect(await keep()).toEqual({ kind: 'same' });
    expect(await read()).toEqual({ kind: 'same' });
  });

  it('a copy that gets a host key of its own belongs to itself', async () => {
    const { become, setKey, keep, read } = await startMachine({ hardware: number });
    await keep();
    await become({ hardware: otherNumber });
    await setKey('cd'.repeat(64));
    expect(await read()).toEqual({ kind: 'unknown' });
    expect(await keep()).toEqual({ kind: 'same' });
  });

  it.each([
    ['a new kernel shows the number the other way round', { hardware: numberOfOldKernel, system: 'x' }],
    ['the number is in capitals', { hardware: number.toUpperCase(), system: 'x' }],
    ['somebody has changed machine-id', { hardware: number, system: 'y' }],
  ])('is the same although %s', async (_title, later) => {
    const { become, keep, read } = await startMachine({ hardware: number, system: 'x' });
    await keep();
    await become(later);
    expect(await read()).toEqual({ kind: 'same' });
  });

  it('without a number of the hardware it is known by machine-id', async () => {
    const { become, keep, read } = await startMachine({ system: 'x' });
    await keep();
    expect(await read()).toEqual({ kind: 'same' });
    await become({ system: 'y' });
    expect(await read()).toMatchObject({ kind: 'other' });
  });

  it('is unknown, and nothing is written, without anything that tells machines apart, or without a key', async () => {
    const nothing = await startMachine();
    expect(await nothing.keep()).toEqual({ kind: 'unknown' });
    await expect(stat(machineFileOf(nothing.paths))).rejects.toThrow('ENOENT');
    const keyless = await startMachine({ hardware: number });
    await rm(registrationKeyFileOf(keyless.paths));
    expect(await keyless.keep()).toEqual({ kind: 'unknown' });
    await expect(stat(machineFileOf(keyless.paths))).rejects.toThrow('ENOENT');
  });

  it('a damaged record counts as none', async () => {
    const { paths, keep, read } = await startMachine({ hardware: number });
    await keep();
    await writeFile(machineFileOf(paths), '{"version":1');
    expect(await read()).toEqual({ kind: 'unknown' });
    expect(await keep()).toEqual({ kind: 'same' });
  });
});

it('nothing in common says nothing', () => {
  expect(isOtherMachine({ hardware: 'a' }, { system: 'b' })).toBe(false);
  expect(isOtherMachine({}, {})).toBe(false);
});
