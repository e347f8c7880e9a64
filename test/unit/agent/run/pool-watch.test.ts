import { describe, expect, it } from 'vitest';
import { watchPool, type PoolWatch } from '../../../../src/agent/run/pool-watch.ts';
import type { Outcome } from '../../../../src/agent/report/outcome.ts';
import type { HostStatus } from '../../../../src/host/files/status.ts';
import { defaultLimits as limits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { names } from '../../fakes/healthy-host.ts';

const full = '8.389 MB';
const roomy = '1.2 MB';
const ok = { state: 'ok', summary: 'rancher-agent runs' };

/** Looks once for each of the amounts of metadata in use. */
async function watch(
  used: readonly string[],
  before: object | undefined = ok,
  storageDriver = 'devicemapper',
): Promise<{ readonly outcomes: readonly Outcome[]; readonly asked: number }> {
  const outcomes: Outcome[] = [];
  let status = before;
  let asked = 0;
  const parts = {
    own: { storageDriver },
    names,
    limits,
    log: silentLog,
    signal: new AbortController().signal,
    engine: {
      readInfo: async () => {
        const driverStatus = [
          ['Metadata Space Used', used[asked] ?? ''],
          ['Metadata Space Total', full],
        ];
        asked += 1;
        return Promise.resolve({ storageDriver, driverStatus });
      },
    },
    clock: {
      sleep: async () => (asked < used.length ? Promise.resolve() : Promise.reject(new Error('seen enough'))),
    },
    reporter: {
      readBefore: async () => Promise.resolve(status as HostStatus | undefined),
      ended: async (outcome: Outcome) => {
        outcomes.push(outcome);
        status = outcome;
        return Promise.resolve();
      },
    },
  } as unknown as PoolWatch;
  await watchPool(parts).catch((error: unknown) => {
    expect(error).toMatchObject({ message: 'seen enough' });
  });
  return { outcomes, asked };
}

describe('the state of a host whose pool has no metadata left', () => {
  it('is deferred, says what to do in the order that works, and is ok again when there is room', async () => {
    const { outcomes } = await watch([roomy, full, full, roomy, roomy]);
    expect(outcomes).toMatchObject([
      { state: 'deferred', exitCode: 75, cause: 'storage-low' },
      { state: 'ok', exitCode: 0, summary: 'rancher-agent runs; the pool has room again' },
    ]);
    expect(outcomes[0]?.hint).toMatch(/lvextend.*docker restart rancher-agent.*cleanup/);
  });

  it.each(['working', 'failed', 'degraded'])('stays %s: that comes first', async (state) => {
    expect((await watch([full], { state, summary: 'x' })).outcomes).toEqual([]);
  });

  it('stays that of an upgrade that was deferred for the same reason', async () => {
    const deferred = {
      state: 'deferred',
      cause: 'storage-low',
      summary: 'the storage of this host is low: …',
    };
    expect((await watch([full, roomy], deferred)).outcomes).toEqual([]);
  });

  it('is not looked for with another storage driver', async () => {
    expect(await watch([full], ok, 'overlay2')).toEqual({ outcomes: [], asked: 0 });
  });
});
