import { describe, expect, it } from 'vitest';
import { selectProfile } from '../../../../src/agent/identity/profile.ts';
import { labels, namesOf, readNames } from '../../../../src/agent/identity/roles.ts';
import {
  buildAgentEnvironment,
  buildAgentSpec,
  digestOf,
  type AgentIngredients,
} from '../../../../src/agent/identity/agent-spec.ts';
import {
  parseEnvironmentList,
  type Environment,
  type ProfileName,
} from '../../../../src/support/configuration.ts';

/** Contract §4, row by row: the server's script and the engine must not be able to tell us from upstream. */

const passedIn10 = `http_proxy https_proxy NO_PROXY no_proxy CATTLE_PHYSICAL_HOST_UUID CATTLE_SCRIPT_DEBUG
  CATTLE_ACCESS_KEY CATTLE_SECRET_KEY CATTLE_AGENT_IP CATTLE_HOST_API_PROXY CATTLE_URL CATTLE_HOST_LABELS
  CATTLE_VOLMGR_ENABLED CATTLE_RUN_FIO CATTLE_SYSTEMD HOST_DOCKER_SOCK`.split(/\s+/);
const passedIn12 = `http_proxy HTTP_PROXY https_proxy HTTPS_PROXY NO_PROXY no_proxy CATTLE_SCHEDULER_IPS
  CATTLE_SCHEDULER_REQUIRE_ANY CATTLE_PHYSICAL_HOST_UUID CATTLE_DOCKER_UUID CATTLE_SCRIPT_DEBUG CATTLE_ACCESS_KEY
  CATTLE_SECRET_KEY CATTLE_AGENT_IP CATTLE_HOST_API_PROXY CATTLE_URL CATTLE_HOST_LABELS CATTLE_VOLMGR_ENABLED
  CATTLE_RUN_FIO CATTLE_MEMORY_OVERRIDE CATTLE_MILLI_CPU_OVERRIDE CATTLE_LOCAL_STORAGE_MB_OVERRIDE
  CATTLE_DETECT_CLOUD_PROVIDER CATTLE_CHECK_NAMESERVER RANCHER_DEBUG`.split(/\s+/);

const everything: Environment = Object.fromEntries(
  [
    ...new Set([...passedIn10, ...passedIn12]),
    'PATH',
    'CA_FINGERPRINT',
    'CATTLE_CONFIG_URL',
    'AGENT_PROFILE',
  ].map((name) => [name, name === 'HOST_DOCKER_SOCK' ? '/run/other.sock' : `value of ${name}`]),
);

function ingredients(profile: ProfileName, parts: Partial<AgentIngredients> = {}): AgentIngredients {
  return {
    profile: selectProfile(profile, {}),
    targetImage: 'mirror.example/rancher/agent:v1.2.11',
    imageId: 'sha256:abc',
    environment: { CATTLE_ACCESS_KEY: 'access', CATTLE_SECRET_KEY: 'secret' },
    varLibWritable: true,
    stateVolume: 'rancher-agent-state',
    hostSocket: '/var/run/docker.sock',
    ...parts,
  };
}

function specOf(
  profile: ProfileName,
  parts: Partial<AgentIngredients> = {},
): ReturnType<typeof buildAgentSpec> {
  return buildAgentSpec(ingredients(profile, parts));
}

describe('an agent of every profile', () => {
  it.each(['rancher-1.0', 'rancher-1.2', 'pasturestack'] as const)(
    '%s runs `run`, always, on the host’s network and pids, with all privileges, from the image as it was named',
    (profile) => {
      expect(specOf(profile)).toMatchObject({
        image: 'mirror.example/rancher/agent:v1.2.11',
        command: ['run'],
        restart: 'always',
        autoRemove: false,
        privileged: true,
        hostNetwork: true,
        hostPid: true,
      });
    },
  );

  it.each(['rancher-1.0', 'rancher-1.2', 'pasturestack'] as const)(
    '%s binds no directory above the Docker root: it would pin other containers’ mounts',
    (profile) => {
      const sources = specOf(profile).binds.map((bind) => bind.split(':')[0]);
      for (const forbidden of ['/', '/var', '/var/lib', '/run', '/var/run']) {
        expect(sources).not.toContain(forbidden);
      }
    },
  );

  it.each([
    ['rancher-1.0', passedIn10],
    ['rancher-1.2', passedIn12],
    ['pasturestack', passedIn12],
  ] as const)('%s passes exactly the allowed names on', (profile, passed) => {
    const environment = buildAgentEnvironment(selectProfile(profile, {}), everything);
    expect(Object.keys(environment).sort()).toEqual([...passed, 'CATTLE_AGENT_PIDNS'].sort());
    expect(environment['CATTLE_AGENT_PIDNS']).toBe('host');
    for (const name of passed.filter((other) => other !== 'no_proxy')) {
      expect(environment[name]).toBe(everything[name]);
    }
  });

  it('carries its role and the digest of what it was made from, and no secret in either', () => {
    const spec = specOf('rancher-1.2', { environment: { CATTLE_SECRET_KEY: 'do-not-tell' } });
    expect(Object.keys(spec.labels).sort()).toEqual([labels.role, labels.spec].sort());
    expect(spec.labels[labels.role]).toBe('agent');
    expect(JSON.stringify(spec.labels)).not.toContain('do-not-tell');
  });
});

describe('the log of an agent', () => {
  const limited = { 'max-size': '10000000', 'max-file': '5' };
  it.each([
    ['an engine that sets no size', { driver: 'json-file', options: {} }, limited],
    ['other settings', { driver: 'json-file', options: { labels: 'x' } }, { ...limited, labels: 'x' }],
    [
      'a number of files',
      { driver: 'json-file', options: { 'max-file': '2' } },
      { ...limited, 'max-file': '2' },
    ],
  ])('json-file without an end gets one: %s', (_, usualLogging, options) => {
    expect(specOf('rancher-1.2', { usualLogging }).logging).toEqual({ driver: 'json-file', options });
  });

  it.each([
    ['a size that a person has set', { driver: 'json-file', options: { 'max-size': '1g' } }],
    ['the journal', { driver: 'journald', options: {} }],
    ['a bounded file', { driver: 'local', options: {} }],
    ['no log at all', { driver: 'none', options: {} }],
    ['an engine that does not say', undefined],
  ])('is left to the engine: %s', (_, usualLogging) => {
    expect(specOf('rancher-1.2', { usualLogging })).not.toHaveProperty('logging');
  });

  it('is no reason to replace an agent', () => {
    const unlimited = { driver: 'json-file', options: {} };
    expect(specOf('rancher-1.2', { usualLogging: unlimited }).labels).toEqual(specOf('rancher-1.2').labels);
  });
});

describe('what differs between the profiles', () => {
  it('rancher-1.2: binds, and the OOM score that lets the agent outlive its containers', () => {
    const spec = specOf('rancher-1.2');
    expect(spec.binds).toEqual([
      '/var/run/docker.sock:/var/run/docker.sock',
      '/var/run/rancher/storage:/var/run/rancher/storage',
      '/lib/modules:/lib/modules:ro',
      '/proc:/host/proc',
      '/dev:/host/dev',
      'rancher-cni:/.r',
      'rancher-agent-state:/var/lib/cattle',
      '/var/lib/rancher:/var/lib/rancher',
    ]);
    expect(spec.oomScoreAdjust).toBe(-500);
    expect(spec).not.toHaveProperty('volumesFrom');
    expect(spec).not.toHaveProperty('hostCgroupNamespace');
  });

  it('rancher-1.2: where /var/lib/rancher can’t be written, the state volume stands in', () => {
    const { binds } = specOf('rancher-1.2', { varLibWritable: false });
    expect(binds.at(-1)).toBe('rancher-agent-state:/var/lib/rancher');
  });

  it('pasturestack: the state volume in use, and the host’s cgroup namespace', () => {
    const spec = specOf('pasturestack', { stateVolume: 'pasturestack-node-agent-state' });
    expect(spec.binds).toContain('pasturestack-node-agent-state:/var/lib/cattle');
    expect(spec.hostCgroupNamespace).toBe(true);
    expect(spec.oomScoreAdjust).toBe(-500);
  });

  it('rancher-1.0: the Docker root, the state container, no OOM score', () => {
    const spec = specOf('rancher-1.0', { dockerRoot: '/srv/docker' });
    expect(spec.binds).toEqual([
      '/var/run/docker.sock:/var/run/docker.sock',
      '/lib/modules:/lib/modules:ro',
      '/srv/docker:/srv/docker',
      '/proc:/host/proc',
      '/dev:/host/dev',
    ]);
    expect(spec.volumesFrom).toEqual(['rancher-agent-state']);
    expect(spec).not.toHaveProperty('oomScoreAdjust');
  });

  it('rancher-1.0: whether the host runs systemd, as it is found now and not as it once was', () => {
    const environment = { CATTLE_SYSTEMD: 'false' };
    expect(specOf('rancher-1.0', { environment, systemd: true }).environment).toHaveProperty(
      'CATTLE_SYSTEMD',
      'true',
    );
    expect(specOf('rancher-1.2', { environment, systemd: true }).environment).not.toHaveProperty(
      'CATTLE_SYSTEMD',
    );
  });

  it.each(['rancher-1.0', 'rancher-1.2', 'pasturestack'] as const)(
    '%s: binds the socket where the host has it',
    (profile) => {
      const { binds } = specOf(profile, { hostSocket: '/run/other.sock' });
      expect(binds[0]).toBe('/run/other.sock:/var/run/docker.sock');
    },
  );
});

describe('names that a person chose', () => {
  const environment = { PASTURESTACK_AGENT_CONTAINER_NAME: 'edge-agent', LEGACY_AGENT_CONTAINER_NAME: '' };
  const profile = selectProfile('pasturestack', environment);

  it('are no part of the environment or the digest, and the agent can read them all the same', () => {
    const spec = specOf('pasturestack', { profile, environment });
    expect(spec.environment).toEqual({ CATTLE_AGENT_PIDNS: 'host' });
    expect(spec.labels[labels.spec]).toBe(specOf('pasturestack', { environment: {} }).labels[labels.spec]);
    expect(readNames(spec.labels)).toEqual({ PASTURESTACK_AGENT_CONTAINER_NAME: 'edge-agent' });
    expect(namesOf(selectProfile('pasturestack', readNames(spec.labels))).worker).toBe('edge-agent-worker');
  });

  it.each(['', 'nonsense', 'null', '[]', '{"PASTURESTACK_AGENT_CONTAINER_NAME":1,"PATH":"/x"}'])(
    'a label %j names nothing',
    (text) => {
      expect(readNames({ [labels.names]: text })).toEqual({});
    },
  );
});

describe('the environment of an old container', () => {
  const profile = selectProfile('rancher-1.2', {});

  it('a bare NAME, which some engines keep, is not passed on', () => {
    const old = parseEnvironmentList([
      'CATTLE_SCRIPT_DEBUG',
      'CATTLE_URL=http://s/v1',
      'CATTLE_HOST_LABELS=a=b&c=d',
    ]);
    expect(buildAgentEnvironment(profile, old)).toEqual({
      CATTLE_AGENT_PIDNS: 'host',
      CATTLE_URL: 'http://s/v1',
      CATTLE_HOST_LABELS: 'a=b&c=d',
    });
  });

  it('a name that is set to nothing stays set to nothing', () => {
    expect(buildAgentEnvironment(profile, { CATTLE_RUN_FIO: '' })).toHaveProperty('CATTLE_RUN_FIO', '');
  });

  it('NO_PROXY is copied to no_proxy, over what that says', () => {
    const passed = buildAgentEnvironment(profile, { NO_PROXY: '10.0.0.0/8', no_proxy: 'other' });
    expect(passed).toMatchObject({ NO_PROXY: '10.0.0.0/8', no_proxy: '10.0.0.0/8' });
  });

  it('no_proxy alone stays as it is, and an empty NO_PROXY does not erase it', () => {
    expect(buildAgentEnvironment(profile, { no_proxy: 'a' })).not.toHaveProperty('NO_PROXY');
    expect(buildAgentEnvironment(profile, { no_proxy: 'a', NO_PROXY: '' })).toHaveProperty('no_proxy', 'a');
  });
});

describe('the digest', () => {
  it('is the same whatever the order in which things were read: an upgrade to itself is nothing to do', () => {
    const environment = { CATTLE_URL: 'u', CATTLE_ACCESS_KEY: 'a' };
    const reversed = { CATTLE_ACCESS_KEY: 'a', CATTLE_URL: 'u' };
    expect(specOf('rancher-1.2', { environment }).labels).toEqual(
      specOf('rancher-1.2', { environment: reversed }).labels,
    );
    expect(digestOf({ a: 1, b: { c: 2, d: [3, 4] } }, 'id')).toBe(
      digestOf({ b: { d: [3, 4], c: 2 }, a: 1 }, 'id'),
    );
  });

  it('does not change between versions of this program without somebody noticing: every host would be upgraded', () => {
    expect(specOf('rancher-1.2').labels[labels.spec]).toBe('7ea39c9f02d8778ac73d2f3c644d68a1');
  });

  it('is the same when the agent that was made from it is read back', () => {
    const first = specOf('rancher-1.2', { environment: everything });
    const again = specOf('rancher-1.2', { environment: { ...first.environment, PATH: '/usr/bin' } });
    expect(again.labels).toEqual(first.labels);
  });

  it.each<[string, Partial<AgentIngredients>]>([
    ['image', { imageId: 'sha256:other' }],
    ['keys', { environment: { CATTLE_ACCESS_KEY: 'access', CATTLE_SECRET_KEY: 'other' } }],
    ['state volume', { stateVolume: 'other' }],
    ['host directory', { varLibWritable: false }],
  ])('is another one with another %s', (_, parts) => {
    expect(specOf('rancher-1.2', parts).labels[labels.spec]).not.toBe(
      specOf('rancher-1.2').labels[labels.spec],
    );
  });

  it('goes by the image, not by its name: a mirror, a digest or another tag of it is nothing to replace', () => {
    const mirrored = { targetImage: 'mirror.example/rancher/agent@sha256:0123' };
    const spec = specOf('rancher-1.2', mirrored);
    expect(spec.labels).toEqual(specOf('rancher-1.2').labels);
    expect(spec.image).toBe(mirrored.targetImage);
  });

  it('depends on the order of lists: the order of mounts matters', () => {
    expect(digestOf({ a: [1, 2] }, 'id')).not.toBe(digestOf({ a: [2, 1] }, 'id'));
  });
});

describe('the names', () => {
  it('are fixed, with spare names for every role but the agent', () => {
    expect(namesOf(selectProfile('rancher-1.2', {}))).toEqual({
      agent: 'rancher-agent',
      legacyAgents: [],
      next: 'rancher-agent-next',
      nexts: ['rancher-agent-next', 'rancher-agent-next-2', 'rancher-agent-next-3'],
      previous: [
        ...['rancher-agent-previous', 'rancher-agent-previous-2', 'rancher-agent-previous-3'],
        ...['rancher-agent-previous-4', 'rancher-agent-previous-5'],
      ],
      worker: 'rancher-agent-worker',
      workers: ['rancher-agent-worker', 'rancher-agent-worker-2', 'rancher-agent-worker-3'],
      deadWorker: 'rancher-agent-worker-dead',
      restarter: 'rancher-agent-restarter',
      restarters: ['rancher-agent-restarter', 'rancher-agent-restarter-2', 'rancher-agent-restarter-3'],
      upgrades: ['rancher-agent-upgrade'],
      states: [],
    });
  });

  it('can be set by the environment, and an agent is not its own legacy', () => {
    const profile = selectProfile('pasturestack', {
      PASTURESTACK_AGENT_CONTAINER_NAME: 'rancher-agent',
      LEGACY_AGENT_UPGRADE_CONTAINER_NAME: 'old-upgrade',
      PASTURESTACK_AGENT_STATE_VOLUME: 'state',
    });
    expect(profile.legacyAgentNames).toEqual([]);
    expect(profile.upgradeNames).toEqual(['pasturestack-node-agent-upgrade', 'old-upgrade']);
    expect(profile.stateVolumes).toEqual(['state', 'rancher-agent-state']);
  });

  it('pasturestack replaces an agent of the legacy name as well', () => {
    expect(namesOf(selectProfile('pasturestack', {}))).toMatchObject({
      agent: 'pasturestack-node-agent',
      legacyAgents: ['rancher-agent'],
    });
  });
});

describe('AGENT_IMAGES_ALLOWED', () => {
  it.each(['rancher-1.0', 'rancher-1.2', 'pasturestack'] as const)(
    '%s: goes along as it is, also an empty value, and is not invented',
    (name) => {
      const passed = (environment: Environment): string | undefined =>
        buildAgentEnvironment(selectProfile(name, {}), environment)['AGENT_IMAGES_ALLOWED'];
      expect(passed({ AGENT_IMAGES_ALLOWED: 'rancher/' })).toBe('rancher/');
      expect(passed({ AGENT_IMAGES_ALLOWED: '' })).toBe('');
      expect(passed({})).toBeUndefined();
    },
  );
});
