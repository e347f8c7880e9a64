import { describe, expect, it } from 'vitest';
import {
  parseEnvironmentList,
  pathsBelow,
  readConfiguration,
  remarksOn,
} from '../../../src/support/configuration.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';

describe('readConfiguration', () => {
  it('stands on its defaults in an empty environment', () => {
    expect(readConfiguration({}, 'host')).toEqual({
      profile: 'rancher-1.2',
      debug: false,
      logFormat: 'text',
      colour: true,
      limits: defaultLimits,
      socketPath: '/var/run/docker.sock',
      apiVersion: undefined,
      ownImage: undefined,
      hostname: 'host',
      paths: pathsBelow('/var/lib/rancher'),
      environment: {},
      problems: [],
    });
  });

  it.each(['CATTLE_SCRIPT_DEBUG', 'RANCHER_DEBUG'])('%s switches debugging on, unless it says no', (name) => {
    expect(readConfiguration({ [name]: 'true' }, '').debug).toBe(true);
    for (const no of ['', 'false', '0']) expect(readConfiguration({ [name]: no }, '').debug).toBe(false);
  });

  it('takes a profile by its name and says which there are', () => {
    expect(readConfiguration({ AGENT_PROFILE: 'pasturestack' }, '')).toMatchObject({
      profile: 'pasturestack',
      problems: [],
    });
    expect(readConfiguration({ AGENT_PROFILE: 'rancher-2' }, '').problems).toEqual([
      'AGENT_PROFILE must be one of rancher-1.0, rancher-1.2, pasturestack, not "rancher-2"',
    ]);
  });

  it.each([
    ['1.24', '1.24', 0],
    ['v1.24', '1.24', 0],
    ['', undefined, 0],
    ['abc', undefined, 1],
    ['1.24/../info', undefined, 1],
  ])('takes the API version "%s" for %s', (text, apiVersion, count) => {
    const { problems, ...rest } = readConfiguration({ DOCKER_API_VERSION: text }, '');
    expect(rest).toMatchObject({ apiVersion });
    expect(problems).toHaveLength(count);
  });

  it('takes a socket, not a TCP address, from DOCKER_HOST', () => {
    expect(readConfiguration({ DOCKER_HOST: 'unix:///run/d.sock' }, '').socketPath).toBe('/run/d.sock');
    expect(readConfiguration({ DOCKER_HOST: 'unix://' }, '').socketPath).toBe('/var/run/docker.sock');
  });

  it.each([
    'tcp://1.2.3.4:2375',
    '1.2.3.4:2375',
    'ssh://root@host',
    'npipe:////./pipe/x',
    'unix://relative',
    'x',
  ])('names a DOCKER_HOST that is no socket, %s, and keeps the usual one', (address) => {
    expect(readConfiguration({ DOCKER_HOST: address }, '')).toMatchObject({
      socketPath: '/var/run/docker.sock',
      engineProblem: expect.stringContaining(`DOCKER_HOST is "${address}"`) as string,
      problems: [],
    });
  });

  it('reports what it can not understand instead of throwing', () => {
    const { problems, limits } = readConfiguration({ AGENT_LIMIT_INSPECT: 'soon', AGENT_PROFILE: 'x' }, '');
    expect(problems).toHaveLength(2);
    expect(limits).toEqual(defaultLimits);
  });
});

describe('parseEnvironmentList', () => {
  it('leaves out a bare name, which some engines keep, and splits at the first equals sign', () => {
    expect(parseEnvironmentList(['A=1', 'BARE', 'L=a=b&c=d', 'EMPTY=', '=x'])).toEqual({
      A: '1',
      L: 'a=b&c=d',
      EMPTY: '',
    });
  });
});

describe('remarksOn', () => {
  it('says nothing of what is in order', () => {
    const environment = {
      LOG_FORMAT: 'json',
      AGENT_LIMIT_VERIFY: '1000',
      CATTLE_HOST_LABELS: 'a=b&c=&d=e=f',
      OTHER_LIMIT: 'x',
    };
    expect(remarksOn(environment)).toEqual([]);
    expect(remarksOn({ LOG_FORMAT: '', CATTLE_HOST_LABELS: '' })).toEqual([]);
    // Names that anybody may use for anything else.
    expect(remarksOn({ ACCESS_KEY: 'x', PLATFORM_URL: 'http://s', RC16_SERVER: 'x' })).toEqual([]);
  });

  it.each([
    [{ LOG_FORMAT: 'xml' }, 'LOG_FORMAT is text or json, not "xml": text is used'],
    [
      { AGENT_LIMIT_VERFY: '1000' },
      'there is no limit AGENT_LIMIT_VERFY: it changes nothing; those that there are: … IMAGE --help',
    ],
    [{ CATTLE_HOST_LABELS: 'a=b&ssd' }, 'CATTLE_HOST_LABELS: "ssd" is no label; they look like a=b&c=d'],
    [
      { RC16_AGENT_CURL_MAX_TIME: '300' },
      'RC16_AGENT_CURL_MAX_TIME is not read here: the limits of this program are AGENT_LIMIT_…, see … IMAGE --help',
    ],
    [
      { RC16_BOOTSTRAP_RETRIES: '3', RC16_AGENT_X: '' },
      'RC16_BOOTSTRAP_RETRIES is not read here: the limits of this program are AGENT_LIMIT_…, see … IMAGE --help',
    ],
    [
      { AGENT_PROFILE: 'pasturestack', PLATFORM_URL: 'http://s' },
      'PLATFORM_URL is not read here: set CATTLE_URL',
    ],
    [
      { AGENT_PROFILE: 'pasturestack', SECRET_KEY: 'x' },
      'SECRET_KEY is not read here: set CATTLE_SECRET_KEY',
    ],
    [{ CATTLE_HOST_LABELS: '=b' }, 'CATTLE_HOST_LABELS: "=b" is no label; they look like a=b&c=d'],
  ])('names what is probably not meant: %j', (environment, remark) => {
    expect(remarksOn(environment)).toEqual([remark]);
  });
});
