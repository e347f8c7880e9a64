import { describe, expect, it } from 'vitest';
import { host, known, diagnosisOf } from '../fakes/healthy-host.ts';

describe('the pool in a diagnosis', () => {
  it.each([
    ['0', undefined],
    ['1', '; 1 removed device is still held, and will be deleted later'],
    ['12', '; 12 removed devices are still held, and will be deleted later'],
  ])('counts the devices that the engine will delete: %s', (count, text) => {
    const { info } = host();
    if (!info.known) throw new Error('the healthy host has an engine');
    const driverStatus: (readonly [string, string])[] = [
      ['Deferred Deletion Enabled', 'true'],
      ['Deferred Deleted Device Count', count],
    ];
    const found = diagnosisOf({
      info: known({ ...info.value, storageDriver: 'devicemapper', driverStatus }),
    }).findings.find(({ check }) => check === 'pool');
    expect(found?.figures).toMatchObject({ devicesToDelete: Number(count) });
    if (text === undefined) expect(found?.text).not.toContain('removed device');
    else expect(found?.text).toContain(text);
  });
});
