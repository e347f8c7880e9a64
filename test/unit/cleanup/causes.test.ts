import { describe, expect, it } from 'vitest';
import { causeOf, groupFailures } from '../../../src/cleanup/causes.ts';

describe('the cause of a failed removal', () => {
  it.each([
    [
      'Driver devicemapper failed to remove root filesystem 4f3: failed to remove device 4f3: Device is Busy',
      'held',
    ],
    [
      'Unable to remove filesystem for 4f3: remove /var/lib/docker/aufs/mnt/4f3: device or resource busy',
      'held',
    ],
    [
      'container 4f3: driver "overlay2" failed to remove root filesystem: unlinkat …/diff/unremovable: operation not permitted',
      'immutable',
    ],
    ['open /var/lib/docker/containers/4f3/.tmp: read-only file system', 'read-only'],
    ['unlinkat /var/lib/docker/overlay2/4f3: input/output error', 'disk-error'],
    ['write /var/lib/docker/image/devicemapper/layerdb/tmp: no space left on device', 'no-space'],
    ['something of tomorrow', 'other'],
  ])('%s', (originalMessage, cause) => {
    expect(causeOf(originalMessage)).toBe(cause);
  });

  it('is reported once for all its failures, the most frequent first, with the first message and a few examples', () => {
    const failure = (id: string, cause: 'held' | 'other') => ({
      id,
      cause,
      originalMessage: `message about ${id}`,
    });
    const failures = [failure('a', 'other'), ...['b', 'c', 'd'].map((id) => failure(id, 'held'))];
    expect(groupFailures(failures, 2)).toEqual([
      { cause: 'held', count: 3, originalMessage: 'message about b', examples: ['b', 'c'], holders: [] },
      { cause: 'other', count: 1, originalMessage: 'message about a', examples: ['a'], holders: [] },
    ]);
  });
});
