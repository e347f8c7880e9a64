import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { isPrivateAddress, readHostAddresses } from '../../../src/host/addresses.ts';

const table = `Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 10.213.0.0/22 3 0 4
        |-- 10.213.1.0
           /24 link UNICAST
        |-- 10.213.1.1
           /32 host LOCAL
        |-- 10.213.1.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
`;

it('the addresses of the host are those that its routing table calls its own', async () => {
  const proc = await mkdtemp(join(tmpdir(), 'addresses-'));
  onTestFinished(() => rm(proc, { recursive: true, force: true }));
  await mkdir(join(proc, '1/net'), { recursive: true });
  await writeFile(join(proc, '1/net/fib_trie'), table);
  expect([...(await readHostAddresses({ proc }))]).toEqual(['10.213.1.1', '127.0.0.1']);
});

it('are those of the interfaces of this machine', async () => {
  const expected = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family }) => family === 'IPv4')
    .map(({ address }) => address);
  expect([...(await readHostAddresses({ proc: '/proc' }))]).toEqual(expect.arrayContaining(expected));
});

it.each([
  ['10.0.0.1', true],
  ['172.15.0.1', false],
  ['172.16.0.1', true],
  ['172.31.255.1', true],
  ['172.32.0.1', false],
  ['192.168.1.1', true],
  ['192.169.1.1', false],
  ['100.64.0.1', true],
  ['100.128.0.1', false],
  ['169.254.1.1', true],
  ['203.0.113.5', false],
])('%s is private: %s', (address, expected) => {
  expect(isPrivateAddress(address)).toBe(expected);
});
