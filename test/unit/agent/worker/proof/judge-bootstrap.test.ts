import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keysRevoked, servingUnknown } from '../../../../../src/agent/run/serving/causes.ts';
import {
  judgeBootstrap,
  type BootstrapVerdict,
} from '../../../../../src/agent/worker/proof/bootstrap-watch.ts';
import { lastExit, servingRecord, type ServingParts } from '../../../fakes/worker-scene.ts';

const bounds = { watchMs: 60_000, mostFailures: 3, freshMs: 10_000 };
const now = 1_000_000;

describe('what a record says of the bootstrap', () => {
  it.each<[string, BootstrapVerdict, ServingParts]>([
    ['nothing has run yet', 'undecided', {}],
    ['it has run for 59.999 s', 'undecided', { bootstrap: { runningSinceElapsed: now - 59_999 } }],
    ['it has run for 60 s', 'proven', { bootstrap: { runningSinceElapsed: now - 60_000 } }],
    [
      'it has run for 60 s and holds a connection',
      'proven',
      { bootstrap: { runningSinceElapsed: now - 60_000, connection: 'open' } },
    ],
    [
      'it has run for 60 s and has not connected yet',
      'undecided',
      { bootstrap: { runningSinceElapsed: now - 60_000, connection: 'none' } },
    ],
    [
      'it has run for minutes and has not connected',
      'unknown',
      {
        serving: 'unknown',
        cause: 'agent-not-connected',
        bootstrap: { runningSinceElapsed: now - 180_000, connection: 'none' },
      },
    ],
    ['it exited with 0', 'proven', { bootstrap: { lastExit: lastExit({ status: 0, byDesign: true }) } }],
    [
      'it exited with 1 after pyagent was replaced',
      'proven',
      { bootstrap: { lastExit: lastExit({ byDesign: true }) } },
    ],
    ['it exited with an error once', 'undecided', { bootstrap: { failuresInARow: 1, lastExit: lastExit() } }],
    ['twice', 'undecided', { bootstrap: { failuresInARow: 2, lastExit: lastExit() } }],
    ['three times', 'fails', { bootstrap: { failuresInARow: 3, lastExit: lastExit() } }],
    [
      'it exited with an error while the server was away',
      'undecided',
      { bootstrap: { failuresInARow: 0, lastExit: lastExit() } },
    ],
    [
      'three failures, and runs again for long',
      'fails',
      { bootstrap: { failuresInARow: 3, runningSinceElapsed: now - 90_000 } },
    ],
    ['the server does not know the keys', 'revoked', { cause: keysRevoked }],
    [
      'keys revoked while the bootstrap runs on',
      'proven',
      { cause: keysRevoked, bootstrap: { runningSinceElapsed: now - 60_000 } },
    ],
    ['the server is away', 'undecided', { cause: 'server-unreachable' }],
    ['nobody observes it', 'unknown', { serving: 'unknown', cause: servingUnknown }],
    [
      'nobody observes it any more',
      'unknown',
      { serving: 'unknown', cause: servingUnknown, bootstrap: { failuresInARow: 3 } },
    ],
    [
      'it serves, for a short time',
      'undecided',
      { serving: 'yes', bootstrap: { runningSinceElapsed: now - 1 } },
    ],
  ])('%s: %s', (_what, verdict, parts) => {
    expect(judgeBootstrap(servingRecord(parts), now, now, bounds)).toBe(verdict);
  });

  it.each<[string, BootstrapVerdict, number]>([
    ['has given a life sign 9.999 s ago', 'proven', now - 9_999],
    ['has given none for 10 s', 'undecided', now - 10_000],
    ['has given none since the bootstrap began', 'undecided', now - 60_000],
  ])('an agent that %s: %s', (_what, verdict, lifeSign) => {
    const record = servingRecord({ bootstrap: { runningSinceElapsed: now - 60_000 } });
    expect(judgeBootstrap(record, now, lifeSign, bounds)).toBe(verdict);
  });

  it('a life sign from after the 60 s proves them, however old it is', () => {
    const record = servingRecord({ bootstrap: { runningSinceElapsed: now - 200_000 } });
    expect(judgeBootstrap(record, now, now - 140_000, bounds)).toBe('proven');
    expect(judgeBootstrap(record, now, now - 140_001, bounds)).toBe('undecided');
  });

  it('fewer than three failures never fail it, whatever else it says', () => {
    const record = fc.record({
      serving: fc.constantFrom('yes', 'no', 'unknown'),
      cause: fc.constantFrom(
        keysRevoked,
        servingUnknown,
        'bootstrap-fails',
        'server-unreachable',
        'starting',
      ),
      failuresInARow: fc.nat(2),
      runningFor: fc.option(fc.nat(600_000), { nil: undefined }),
      byDesign: fc.option(fc.boolean(), { nil: undefined }),
    });
    fc.assert(
      fc.property(record, ({ serving, cause, failuresInARow, runningFor, byDesign }) => {
        const bootstrap = {
          failuresInARow,
          ...(runningFor === undefined ? {} : { runningSinceElapsed: now - runningFor }),
          ...(byDesign === undefined ? {} : { lastExit: lastExit({ byDesign }) }),
        };
        const written = servingRecord({ serving: serving as 'yes', cause, bootstrap });
        expect(judgeBootstrap(written, now, now, bounds)).not.toBe('fails');
      }),
      { seed: 1, numRuns: 1_000 },
    );
  });
});
