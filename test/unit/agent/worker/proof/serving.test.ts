import { describe, expect, it } from 'vitest';
import { starting } from '../../../../../src/agent/run/serving/causes.ts';
import { servingOf, type Serving } from '../../../../../src/agent/worker/proof/serving.ts';
import { servingRecord, type ServingParts } from '../../../fakes/worker-scene.ts';

const at = '2026-01-01T00:00:00.000Z';

describe('what a record says in the end', () => {
  it('no record is never worded as serving', () => {
    expect(servingOf(undefined)).toEqual({
      kind: 'unknown',
      cause: 'serving-unknown',
      message: 'the agent has not reported whether it serves',
    });
  });

  it.each<[string, ServingParts, Serving]>([
    ['yes', { serving: 'yes' }, { kind: 'serves' }],
    [
      'no, with a cause',
      { serving: 'no', cause: 'server-unreachable', message: 'no answer' },
      { kind: 'not-serving', cause: 'server-unreachable', message: 'no answer' },
    ],
    [
      'unknown',
      { serving: 'unknown', cause: 'serving-unknown', message: 'CATTLE_EXEC_AGENT' },
      { kind: 'unknown', cause: 'serving-unknown', message: 'CATTLE_EXEC_AGENT' },
    ],
    [
      'unknown, because it has just begun',
      { serving: 'unknown', cause: starting, message: 'it has just begun', lastAnswerAt: at },
      { kind: 'starting', message: 'it has just begun' },
    ],
    [
      'no, because it has just begun: nothing speaks against it',
      { serving: 'no', cause: starting, message: 'it has just begun', lastAnswerAt: at },
      { kind: 'starting', message: 'it has just begun' },
    ],
    [
      'unknown, because its server has not answered it yet: that it runs proves nothing',
      { serving: 'unknown', cause: starting, message: 'it has just begun' },
      {
        kind: 'unknown',
        cause: 'serving-unknown',
        message: 'its server has not answered it since it started: it is not known whether it serves',
      },
    ],
  ])('%s', (_what, parts, serving) => {
    expect(servingOf(servingRecord(parts))).toEqual(serving);
  });
});
