import { expect, it } from 'vitest';
import { hostOf } from '../../../../src/agent/host.ts';
import { selectProfile } from '../../../../src/agent/identity/profile.ts';
import { namesOf } from '../../../../src/agent/identity/roles.ts';
import { delegate, type Delegation } from '../../../../src/agent/worker/delegate.ts';
import type { ContainerSpec, Engine } from '../../../../src/engine/engine.ts';
import { EngineError } from '../../../../src/engine/errors.ts';
import { featuresOf } from '../../../../src/engine/features.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { readConfiguration } from '../../../../src/support/configuration.ts';
import { CannotChangeError } from '../../../../src/support/errors.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { createSecrets } from '../../../../src/support/secrets.ts';

/** What a worker would be created from: the engine takes the request down and refuses it. */
async function specOf(delegation: Delegation): Promise<ContainerSpec | undefined> {
  let taken: ContainerSpec | undefined;
  const engine: Partial<Engine> = {
    features: featuresOf('1.41'),
    createContainer: async (_name, spec) => {
      taken = spec;
      return Promise.reject(new EngineError('create the worker', 403, 'no'));
    },
  };
  const profile = selectProfile('rancher-1.2', {});
  const settings = {
    configuration: readConfiguration({ AGENT_METRICS_FILE: '/metrics', CATTLE_SECRET_KEY: 's' }, 'host'),
    profile,
    names: namesOf(profile),
    clock: systemClock,
    log: silentLog,
    secrets: createSecrets(),
    signal: new AbortController().signal,
  };
  const caller = { ...hostOf(settings, engine as Engine), write: () => undefined };
  await expect(delegate(caller, delegation)).rejects.toBeInstanceOf(CannotChangeError);
  return taken;
}

it('a worker is created from its own image and gets the target image of the agent in its environment', async () => {
  const spec = await specOf({
    task: 'upgrade',
    workerImage: 'ours:1',
    own: undefined,
    targetImage: 'theirs:2',
  });
  expect(spec).toMatchObject({
    image: 'ours:1',
    command: ['worker', 'upgrade'],
    environment: { AGENT_TARGET_IMAGE: 'theirs:2', AGENT_METRICS_FILE: '/metrics' },
  });
  expect(spec?.environment).not.toHaveProperty('CATTLE_SECRET_KEY');
});

it('a worker that reconciles gets no target image and no registration URL', async () => {
  const spec = await specOf({ task: 'reconcile', workerImage: 'ours:1', own: undefined });
  expect(spec?.environment).toEqual({
    AGENT_METRICS_FILE: '/metrics',
    DOCKER_HOST: 'unix:///var/run/docker.sock',
  });
});

it('a worker that registers gets the registration URL in its environment, never as an argument', async () => {
  const registrationUrl = 'http://server/v1/scripts/TOKEN';
  const about = { AGENT_FORCE: 'true' };
  const spec = await specOf({
    task: 'register',
    workerImage: 'a',
    own: undefined,
    targetImage: 'a',
    registrationUrl,
    about,
  });
  expect(spec?.environment).toMatchObject({ AGENT_REGISTRATION_URL: registrationUrl, AGENT_FORCE: 'true' });
  expect(JSON.stringify([spec?.command, spec?.labels])).not.toContain('TOKEN');
});

it('a worker gets the socket that its caller has, wherever that is on the host', async () => {
  const own = { mounts: [{ source: '/run/other.sock', target: '/var/run/docker.sock', volume: undefined }] };
  const spec = await specOf({ task: 'reconcile', workerImage: 'ours:1', own });
  expect(spec?.binds[0]).toBe('/run/other.sock:/var/run/docker.sock');
  expect(spec?.environment['DOCKER_HOST']).toBe('unix:///var/run/docker.sock');
});
