import { expect, it } from 'vitest';
import { carryOver, findDropped } from '../../../../src/agent/identity/carry-over.ts';

const keys = { CATTLE_ACCESS_KEY: 'AK', CATTLE_SECRET_KEY: 'SK' };
const settings = {
  CATTLE_PHYSICAL_HOST_UUID: 'uuid-1',
  CATTLE_DOCKER_UUID: 'uuid-2',
  CATTLE_AGENT_IP: '192.0.2.17',
  CATTLE_HOST_LABELS: 'zone=north',
};
const former = { ...keys, ...settings, CATTLE_URL: 'https://a.example/v1', http_proxy: 'http://proxy' };

it('a host that registers again without its settings keeps those that it is known by, and no others', () => {
  expect(carryOver(keys, former)).toEqual(settings);
});

it('what a person gives counts, and an empty value takes a setting away', () => {
  const { CATTLE_PHYSICAL_HOST_UUID, CATTLE_DOCKER_UUID } = settings;
  expect(carryOver({ ...keys, CATTLE_AGENT_IP: '192.0.2.18', CATTLE_HOST_LABELS: '' }, former)).toEqual({
    CATTLE_PHYSICAL_HOST_UUID,
    CATTLE_DOCKER_UUID,
  });
});

it.each([
  ['for other keys: that is another host', { ...keys, CATTLE_ACCESS_KEY: 'OTHER' }, former],
  ['without an agent before', keys, undefined],
  ['from an agent without keys', {}, undefined],
  ['that was empty', keys, { ...keys, CATTLE_HOST_LABELS: '' }],
])('nothing is carried over %s', (_title, given, before) => {
  expect(carryOver(given, before)).toEqual({});
});

it('names what the agent before had and this one has not, but nothing that each registration sets itself', () => {
  const kept = [
    'http_proxy',
    'CATTLE_HOST_LABELS',
    'CATTLE_URL',
    'CATTLE_ACCESS_KEY',
    'http_proxy',
    'RANCHER_DEBUG',
  ];
  const before = { ...former, RANCHER_DEBUG: '', AGENT_PROFILE: 'rancher-1.2' };
  expect(findDropped({ CATTLE_HOST_LABELS: 'zone=north' }, before, kept)).toEqual(['http_proxy']);
  expect(findDropped({ http_proxy: '' }, before, ['http_proxy'])).toEqual([]);
  expect(findDropped({}, undefined, kept)).toEqual([]);
});
