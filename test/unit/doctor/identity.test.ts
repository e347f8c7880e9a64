import { expect, it } from 'vitest';
import type { AddressSnapshot, HostSnapshot } from '../../../src/doctor/snapshot.ts';
import { diagnosisOf, known, unknown } from '../fakes/healthy-host.ts';

function address(parts: Partial<AddressSnapshot>): Partial<HostSnapshot> {
  return { address: known({ address: '10.0.0.7', from: 'agent', isHere: false, ...parts }) };
}

it.each<[string, Partial<HostSnapshot>, readonly string[], number]>([
  [
    'a host key that was kept on another machine',
    { machine: known({ kind: 'other', since: '2016-07-01T00:00:00.000Z' }) },
    ['cloned-machine'],
    1,
  ],
  ['a host key of which nobody kept the machine', { machine: known({ kind: 'unknown' }) }, [], 0],
  ['a machine that cannot be read', { machine: unknown('no') }, [], 0],
  ['an address that the host has', address({ isHere: true }), [], 0],
  ['a private address that the host has not', address({}), ['address-gone'], 1],
  ['a public address, which a router translates', address({ address: '203.0.113.7' }), [], 0],
  ['addresses that cannot be seen', { address: unknown('no') }, [], 1],
])('%s', (_title, parts, causes, exitCode) => {
  expect(diagnosisOf(parts)).toMatchObject({ causes, exitCode });
});

it.each([
  ['agent.conf', /correct it in \/var\/lib\/rancher\/etc\/agent\.conf/],
  ['agent', /register again with -e CATTLE_AGENT_IP=/],
] as const)('the advice about an address from %s says where to correct it', (from, expected) => {
  const { findings } = diagnosisOf(address({ from }));
  expect(findings.find(({ check }) => check === 'address')?.advice).toMatch(expected);
});
