import { describe, expect, it } from 'vitest';
import { profileOfImage, followProfile } from '../../../../src/agent/worker/follow-profile.ts';
import { selectProfile } from '../../../../src/agent/identity/profile.ts';
import { namesOf } from '../../../../src/agent/identity/roles.ts';
import type { Target } from '../../../../src/agent/worker/pull-image.ts';
import type { Work } from '../../../../src/agent/worker/session.ts';
import type { ProfileName } from '../../../../src/support/configuration.ts';
import { silentLog } from '../../../../src/support/log.ts';

function target(targetImage: string, profile?: string): Target {
  const environment = profile === undefined ? {} : { AGENT_PROFILE: profile };
  return { targetImage, image: { id: 'i', labels: {}, repoTags: [], repoDigests: [], environment } };
}

describe('the profile of an image', () => {
  it.each([
    ['rancher/agent:v1.2.11', 'rancher-1.0', 'rancher-1.0'],
    ['anything:at-all', 'pasturestack', 'pasturestack'],
    ['rancher/agent:v1.2.11', 'of-the-future', undefined],
    ['rancher/agent:v1.0.2', undefined, 'rancher-1.0'],
    ['rancher/agent:v1.1.0', undefined, 'rancher-1.2'],
    ['mirror.example:5000/rancher/agent:v1.2.11@sha256:00', undefined, 'rancher-1.2'],
    ['ghcr.io/pasturestack/node-agent:v1.2.31', undefined, 'pasturestack'],
    ['rancher/agent:latest', undefined, undefined],
    ['rancher/agent-instance:v1.0', undefined, undefined],
  ])('%s, which says %s, is %s', (reference, told, profile) => {
    expect(profileOfImage(target(reference, told))).toBe(profile);
  });
});

describe('work towards an image', () => {
  function workOf(name: ProfileName, environment = {}): Work {
    const profile = selectProfile(name, environment);
    return {
      profile,
      names: namesOf(profile),
      configuration: { environment },
      log: silentLog,
    } as unknown as Work;
  }

  it.each([
    ['rancher-1.0', 'rancher-1.2', 'rancher-1.2', 'rancher-agent'],
    ['rancher-1.2', 'rancher-1.0', 'rancher-1.0', 'rancher-agent'],
    ['rancher-1.2', 'pasturestack', 'pasturestack', 'pasturestack-node-agent'],
    // Nothing of those profiles would ever find the agent that is there.
    ['pasturestack', 'rancher-1.2', 'pasturestack', 'pasturestack-node-agent'],
    ['rancher-1.2', undefined, 'rancher-1.2', 'rancher-agent'],
  ] as const)('of %s to one of %s is work with the profile %s on %s', (own, other, profile, agent) => {
    const work = followProfile(workOf(own), target('some:image', other));
    expect(work.profile.name).toBe(profile);
    expect(work.names.agent).toBe(agent);
  });

  it('keeps names that a person chose', () => {
    const environment = { PASTURESTACK_AGENT_CONTAINER_NAME: 'edge-agent' };
    const work = followProfile(workOf('pasturestack', environment), target('some:image', 'rancher-1.2'));
    expect(work.profile.name).toBe('rancher-1.2');
    expect(work.names.agent).toBe('edge-agent');
  });
});
