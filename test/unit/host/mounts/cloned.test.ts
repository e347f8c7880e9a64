import { expect, it } from 'vitest';
import { findClonedMounts } from '../../../../src/host/mounts/cloned.ts';
import { parseMountinfo } from '../../../../src/host/mounts/table.ts';

const id = 'a'.repeat(64);
const layer = 'b'.repeat(64);
const other = 'c'.repeat(64);

it('only mounts of the containers that are meant are let go of, the innermost first', () => {
  const points = [
    '/',
    '/var/lib/docker',
    `/var/lib/docker/overlay2/${layer}/merged`,
    `/var/lib/docker/overlay2/${layer}/merged/proc`,
    `/var/lib/docker/overlay2/${other}/merged`,
    `/var/lib/docker/containers/${id}/shm`,
    `/var/lib/docker/devicemapper/mnt/${id}-init`,
    `/var/lib/docker/volumes/x${id}/_data`,
  ];
  const text = points
    .map((point, index) => `${100 + index} 1 0:1 / ${point} rw - overlay overlay rw`)
    .join('\n');
  expect(findClonedMounts(parseMountinfo(text), [id, layer, ''])).toEqual([
    `/var/lib/docker/devicemapper/mnt/${id}-init`,
    `/var/lib/docker/containers/${id}/shm`,
    `/var/lib/docker/overlay2/${layer}/merged/proc`,
    `/var/lib/docker/overlay2/${layer}/merged`,
  ]);
  expect(findClonedMounts(parseMountinfo(text), [])).toEqual([]);
});
