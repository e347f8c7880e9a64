import { expect, it } from 'vitest';
import type { HostSnapshot } from '../../../src/doctor/snapshot.ts';
import type { PoolMode } from '../../../src/host/pool-mode.ts';
import { diagnosisOf, host, known, unknown } from '../fakes/healthy-host.ts';

/** A host with a pool whose metadata is used so much, of 75.5 MB. */
function pool(mode: PoolMode['mode'], needsCheck = false, used = '40 MB'): Partial<HostSnapshot> {
  const { info } = host();
  if (!info.known) throw new Error('the healthy host has an engine');
  const driverStatus: (readonly [string, string])[] = [
    ['Metadata Space Used', used],
    ['Metadata Space Total', '75.5 MB'],
  ];
  return {
    info: known({ ...info.value, storageDriver: 'devicemapper', driverStatus }),
    poolMode: known({ mode, needsCheck }),
  };
}

it.each<[string, Partial<HostSnapshot>, readonly string[], number]>([
  ['a pool that works', pool('rw'), [], 0],
  ['a pool that is read-only', pool('ro'), ['pool-read-only'], 2],
  ['a pool without data space', pool('out-of-data'), ['pool-read-only'], 2],
  ['a pool that failed', pool('failed'), ['pool-read-only'], 2],
  ['full metadata, which has a line of its own', pool('ro', false, '75.5 MB'), ['storage-low'], 2],
  ['full metadata that needs a check', pool('ro', true, '75.5 MB'), ['storage-low', 'pool-read-only'], 2],
  ['a host without dmsetup', { ...pool('rw'), poolMode: unknown('nsenter: dmsetup: not found') }, [], 0],
])('%s', (_title, parts, causes, exitCode) => {
  expect(diagnosisOf(parts)).toMatchObject({ causes, exitCode });
});

it('the advice about a check is to repair, not to extend a pool in use', () => {
  const { findings } = diagnosisOf(pool('ro', true));
  const line = findings.find(({ cause }) => cause === 'pool-read-only');
  expect(line?.text).toBe('the kernel says about the pool: it is read-only, and needs a check');
  expect(line?.advice).toMatch(/^Remove nothing\. Stop docker and docker\.socket/);
});
