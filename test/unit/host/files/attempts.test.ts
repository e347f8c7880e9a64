import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  attemptsFileOf,
  findAttempt,
  flappingEndsAt,
  nextAttemptAt,
  noAttempts,
  readAttempts,
  recordAbandon,
  recordBegin,
  recordFailure,
  recordSuccess,
  writeAttempts,
  type Attempts,
} from '../../../../src/host/files/attempts.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';

const limits = {
  ...defaultLimits,
  ATTEMPT_PAUSE_MIN: 30_000,
  ATTEMPT_PAUSE_MAX: 600_000,
  ATTEMPT_FREE_INTERRUPTIONS: 3,
};
const image = 'rancher/agent:v1.1.0';
const other = 'rancher/agent:v1.0.2';
const noon = Date.parse('2016-07-01T12:00:00Z');

const next = (attempts: Attempts, now: number): number | undefined =>
  nextAttemptAt(findAttempt(attempts, image), limits, now);

function failTimes(times: number): Attempts {
  let attempts = noAttempts;
  for (let n = 0; n < times; n += 1) {
    attempts = recordBegin(attempts, image, noon, limits);
    attempts = recordFailure(attempts, image, 'cannot-change', noon, limits);
  }
  return attempts;
}

function killTimes(times: number): Attempts {
  let attempts = noAttempts;
  for (let n = 0; n < times; n += 1) attempts = recordBegin(attempts, image, noon, limits);
  return attempts;
}

describe('nextAttemptAt', () => {
  it('lets a target be tried at once that was never tried', () => {
    expect(next(noAttempts, noon)).toBeUndefined();
  });

  it.each([
    [1, 30_000],
    [2, 60_000],
    [3, 120_000],
    [5, 480_000],
    [6, 600_000],
    [50, 600_000],
  ])('after %i failures pauses %i ms', (failures, pause) => {
    const attempts = failTimes(failures);
    expect(next(attempts, noon)).toBe(noon + pause);
    expect(next(attempts, noon + pause)).toBeUndefined();
  });

  it.each([
    [1, undefined],
    [3, undefined],
    [4, 30_000],
    [5, 60_000],
  ])('after being killed %i times pauses %s ms', (kills, pause) => {
    expect(next(killTimes(kills), noon)).toBe(pause === undefined ? undefined : noon + pause);
  });

  it('forgets everything on success', () => {
    expect(next(recordSuccess(failTimes(7), image), noon)).toBeUndefined();
  });

  it('holds nothing against a target when the attempt was given up for another reason', () => {
    expect(next(recordAbandon(killTimes(4), image), noon)).toBeUndefined();
    expect(findAttempt(recordAbandon(killTimes(4), image), image)).toMatchObject({ interruptions: 3 });
  });

  it('does not let one target pause another', () => {
    expect(nextAttemptAt(findAttempt(failTimes(7), other), limits, noon)).toBeUndefined();
  });

  it('never pauses longer than the longest pause, however the clock jumps', () => {
    fc.assert(
      fc.property(fc.nat(100), fc.nat(100), fc.nat(4e12), fc.nat(4e12), (failures, kills, then, now) => {
        const record = { image, failures, interruptions: kills, troubledAt: then, begunAt: then };
        const at = nextAttemptAt(record, limits, now);
        return at === undefined || (at > now && at - now <= limits.ATTEMPT_PAUSE_MAX);
      }),
    );
  });

  it('ends a pause, also when asked again and again with a clock that was set back', () => {
    const attempts = failTimes(3);
    const back = noon - 3_600_000;
    const waits = [0, 1, 2].map((n) => next(attempts, back + n * limits.ATTEMPT_PAUSE_MAX));
    expect(waits).toContain(undefined);
  });
});

describe('the records', () => {
  it('stay bounded', () => {
    let attempts = noAttempts;
    for (let n = 0; n < 100; n += 1) attempts = recordBegin(attempts, `image:${n}`, noon + n, limits);
    expect(attempts.targets).toHaveLength(20);
    expect(attempts.history).toHaveLength(20);
    expect(findAttempt(attempts, 'image:99')).toBeDefined();
  });
});

describe('isPingPong', () => {
  const begin = (images: readonly string[], apart: number): Attempts =>
    images.reduce(
      (attempts, wanted, n) => recordBegin(attempts, wanted, noon + n * apart, limits),
      noAttempts,
    );

  it.each([
    ['a first upgrade', [other], image, false],
    ['many tries of the same', [image, image, image, image], image, false],
    ['a change back and forth by a person', [other, image, other], image, false],
    ['two servers in turn', [other, image, other, image, other], image, true],
    ['the same, asked again', [other, image, other, image, other, image], image, true],
  ])('%s', (_case, images, wanted, expected) => {
    const { history } = begin(images, 60_000);
    const endsAt = flappingEndsAt(history, wanted, limits, noon + images.length * 60_000);
    expect(endsAt !== undefined).toBe(expected);
  });

  it('takes changes of other days for what they are', () => {
    const { history } = begin([other, image, other, image, other], 24 * 3_600_000);
    expect(flappingEndsAt(history, image, limits, noon + 5 * 24 * 3_600_000)).toBeUndefined();
  });
});

describe('the file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'host-attempts-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('reads back as it was written', async () => {
    const paths = pathsBelow(folder);
    expect(await readAttempts(paths)).toEqual({ attempts: noAttempts });
    const attempts = recordBegin(failTimes(2), image, noon, limits);
    await writeAttempts(paths, attempts);
    expect(await readAttempts(paths)).toEqual({ attempts });
  });

  it.each([
    '',
    '{',
    '[]',
    '{"version":2,"targets":[],"history":[]}',
    '{"version":1,"targets":[{}],"history":[]}',
  ])('counts damage as no attempts and says so: %s', async (text) => {
    const paths = pathsBelow(folder);
    await mkdir(paths.entrypoint);
    await writeFile(attemptsFileOf(paths), text);
    expect(await readAttempts(paths)).toEqual({
      attempts: noAttempts,
      problem: expect.stringContaining(attemptsFileOf(paths)) as string,
    });
  });
});
