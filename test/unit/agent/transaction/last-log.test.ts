import { describe, expect, it } from 'vitest';
import { lastLinesOf, readLastLog } from '../../../../src/agent/transaction/last-log.ts';
import { judgeTransaction } from '../../../../src/agent/report/outcome.ts';
import { EngineError } from '../../../../src/engine/errors.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { createSecrets } from '../../../../src/support/secrets.ts';
import { actor, emptyScene } from '../../fakes/transaction-scene.ts';
import { World } from '../../fakes/transaction-world.ts';

const limits = { ...defaultLimits, LOG_TAIL_LINES: 3, LOG_TAIL_BYTES: 40 };
const asItIs = (text: string): string => text;

describe('the last log lines of an agent that did not stay up', () => {
  it('the last log lines have no control characters and no empty lines', () => {
    const text = 'one\r\ntwo\n\n\u001B[31mERROR\u001B[0m: no\u0007bash\u0000\u202E\nfour\n';
    expect(lastLinesOf(text, limits)).toEqual(['two', 'ERROR: no bash', 'four']);
  });

  it('the last log lines are cut to the bytes allowed: the last line counts most, and a cut line says so', () => {
    expect(lastLinesOf(`${'a'.repeat(50)}\n${'ü'.repeat(10)}\n`, limits)).toEqual([
      `${'a'.repeat(17)}…`,
      'ü'.repeat(10),
    ]);
    for (const text of ['x'.repeat(10_000), 'ü'.repeat(10_000), '😀'.repeat(10_000)]) {
      const [line = '', ...others] = lastLinesOf(text, limits);
      expect(others).toEqual([]);
      expect(Buffer.byteLength(line)).toBeLessThanOrEqual(40);
      expect(line).toMatch(/^[xü😀]+…$/u);
    }
  });

  it('the last log lines hold no secret, also where one is cut in two', async () => {
    const secrets = createSecrets();
    secrets.add('open-sesame-open-sesame');
    const engine = {
      readLogTail: async () => Promise.resolve('key: open-sesame-open-sesame and more words\n'),
    };
    const lines = await readLastLog(engine, 'id', { ...limits, LOG_TAIL_BYTES: 20 }, (text) =>
      secrets.scrub(text),
    );
    expect(lines).toEqual(['key: *** and more…']);
  });

  it('the last log lines say why they could not be read, or that there are none', async () => {
    const refuses = async (): Promise<string> =>
      Promise.reject(new EngineError('logs', 501, 'configured logging driver does not support reading'));
    const roomy = { ...limits, LOG_TAIL_BYTES: 4_096 };
    expect(await readLastLog({ readLogTail: refuses }, 'id', roomy, asItIs)).toEqual([
      'could not be read: configured logging driver does not support reading',
    ]);
    const silent = { readLogTail: async () => Promise.resolve('\n \n') };
    expect(await readLastLog(silent, 'id', roomy, asItIs)).toEqual(['(it wrote nothing to its log)']);
  });

  it('the last log lines are in the state of a host whose agent was rolled back', async () => {
    const world = new World({ ...emptyScene, agent: actor('upstream', 'running'), health: 'exits-soon' });
    const { result } = await world.run();
    if (result === undefined) throw new Error('the transaction did not come to an end');
    expect(judgeTransaction(result)).toMatchObject({
      state: 'failed',
      lastLog: [`the end of ${world.wanted.reference}`],
    });
  });

  it('the last log lines are not mentioned where the upgrade succeeds', async () => {
    const { result } = await new World({ ...emptyScene, agent: actor('upstream', 'running') }).run();
    expect(result).not.toHaveProperty('lastLog');
  });
});
