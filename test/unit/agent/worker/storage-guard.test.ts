import { describe, expect, it } from 'vitest';
import { requirePoolRoom } from '../../../../src/agent/worker/storage-guard.ts';
import { StorageLowError } from '../../../../src/host/errors.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';

/** An engine whose devicemapper pool has used that much of its 75.5 MB of metadata. */
function engineWith(used: string) {
  const asked = { times: 0 };
  const readInfo = () => {
    asked.times += 1;
    return Promise.resolve({
      operatingSystem: 'CentOS Linux 7 (Core)',
      rootDirectory: '/var/lib/docker',
      storageDriver: 'devicemapper',
      driverStatus: [
        ['Pool Name', 'docker-253:1-34-pool'],
        ['Metadata Space Used', used],
        ['Metadata Space Total', '75.5 MB'],
      ] as const,
      text: '{}',
    });
  };
  return { asked, engine: { readInfo } };
}

const onDevicemapper = { storageDriver: 'devicemapper' };

describe('the caller of a worker', () => {
  it('makes none when the devicemapper pool is about to fill up, and says the numbers', async () => {
    const { engine } = engineWith('73.1 MB');
    const refused = requirePoolRoom(engine, onDevicemapper, defaultLimits);
    await expect(refused).rejects.toThrow(StorageLowError);
    await expect(refused).rejects.toThrow(/metadata space used \(73.1 MB of 75.5 MB, limit 90 %\)/);
  });

  it('makes one when there is room', async () => {
    const { engine } = engineWith('40 MB');
    await expect(requirePoolRoom(engine, onDevicemapper, defaultLimits)).resolves.toBeUndefined();
  });

  it('does not ask where there is no pool, or where it is in no container', async () => {
    const { engine, asked } = engineWith('73.1 MB');
    await requirePoolRoom(engine, { storageDriver: 'overlay2' }, defaultLimits);
    await requirePoolRoom(engine, undefined, defaultLimits);
    expect(asked.times).toBe(0);
  });
});
