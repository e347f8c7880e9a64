import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { findMount, parseMountinfo } from '../../../../src/host/mounts/table.ts';

it('reads fields, propagation and escapes', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue',
    '40 35 0:45 /a\\040b /mnt/c\\011d\\134e\\303\\266 rw shared:7 master:2 propagate_from:1 - fuse.x sou\\040rce rw',
    '41 35 0:46 / /plain rw - tmpfs none rw',
    'nonsense',
    '',
  ].join('\n');
  expect(parseMountinfo(text)).toEqual([
    {
      device: '98:0',
      root: '/mnt1',
      mountPoint: '/mnt2',
      shared: false,
      slave: true,
      source: '/dev/root',
    },
    {
      device: '0:45',
      root: '/a b',
      mountPoint: '/mnt/c\td\\eö',
      shared: true,
      slave: true,
      source: 'sou rce',
    },
    {
      device: '0:46',
      root: '/',
      mountPoint: '/plain',
      shared: false,
      slave: false,
      source: 'none',
    },
  ]);
});

it('reads what this kernel says', async () => {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  const mounts = parseMountinfo(text);
  expect(mounts).toHaveLength(text.trim().split('\n').length);
  expect(findMount(mounts, '/proc')?.source).toBe('proc');
});

it('finds the mount one sees: the last', () => {
  const mounts = parseMountinfo('1 0 0:1 / /a rw - ext4 x rw\n2 1 0:2 / /a rw shared:1 - ext4 y rw\n');
  expect(findMount(mounts, '/a')?.source).toBe('y');
  expect(findMount(mounts, '/b')).toBeUndefined();
});
