import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../../src/engine/engine.ts';
import { isEngineError } from '../../../src/engine/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { FakeDaemon, json, text } from '../fakes/fake-daemon.ts';

/*
 * Debian's Docker 28.5.2 (API 1.51), answering as recorded in a test host (TEST_ENGINE=sid), where it differs from 20.10: a
 * container whose removal failed, an image, a refused API version.
 */

const id = '72c4fabc69d993a550a6153ffc5d1a863567a8acfbe3cadaf3734042cfd2a7c2';
const layer = '01250d2da026181e26cd27dcf948014937cdc1524f6e2b76b245edef471cc4d4';
const imageLayer = 'de4606ebf27f6d83d8ad4d9228c275ad1f6329a5df9b4a72032b6e1df4958431';
const imageId = 'sha256:24ba56bd765e585f91bd3f4a2ebd6bedc1450c663414f9546583a8db312d88c4';
const folder = `/var/lib/docker/overlay2/${layer}`;
const failure = `driver "overlay2" failed to remove root filesystem: unlinkat ${folder}/diff/unremovable: operation not permitted`;

let daemon: FakeDaemon;
let engine: Engine;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
  daemon.on(
    'GET',
    '/version',
    json(200, { Version: '28.5.2+dfsg4', ApiVersion: '1.51', MinAPIVersion: '1.24' }),
  );
  engine = await daemon.connect({
    limits: { ...defaultLimits, CALL_TRIES: 1 },
  });
});
afterEach(async () => daemon.stop());

describe('a container whose removal failed', () => {
  it('is refused with other words, which are kept', async () => {
    const message = `cannot remove container "other": ${failure}`;
    daemon.on('DELETE', `/containers/${id}`, json(500, { message }));
    const error = await engine.removeContainer(id, { force: true }).catch((thrown: unknown) => thrown);
    expect(isEngineError(error, 'failed') && error.originalMessage).toBe(message);
  });

  it('is listed as dead, where 20.10 goes on saying that its removal is in progress', async () => {
    const entry = {
      ...{ Id: id, Names: ['/other'], Image: 'agent-test-base', ImageID: imageId, Command: 'true' },
      ...{ Created: 1_795_370_479, Ports: [], Labels: {}, State: 'dead', Status: 'Dead', Mounts: [] },
    };
    daemon.on('GET', '/containers/json', json(200, [entry]));
    expect(await engine.listContainers({ states: ['removing', 'dead'] })).toMatchObject([
      { id, state: 'dead' },
    ]);
  });

  it('is called by its layer in mounts; its own id, which stands beside that, is none', async () => {
    const Data = {
      ...{ ID: id, LowerDir: `${folder}-init/diff:/var/lib/docker/overlay2/${imageLayer}/diff` },
      ...{ MergedDir: `${folder}/merged`, UpperDir: `${folder}/diff`, WorkDir: `${folder}/work` },
    };
    const State = {
      ...{ Status: 'dead', Running: false, Paused: false, Restarting: false, OOMKilled: false, Dead: true },
      ...{ Pid: 0, ExitCode: 0, Error: failure, StartedAt: '0001-01-01T00:00:00Z' },
    };
    const answer = {
      ...{ Id: id, Name: '/other', Created: '2026-11-22T18:01:19.353001864Z', Path: 'true', Args: [], State },
      ...{ Image: imageId, RestartCount: 0, Driver: 'overlay2', GraphDriver: { Data, Name: 'overlay2' } },
      HostConfig: { Binds: null, NetworkMode: 'bridge', RestartPolicy: { Name: 'no', MaximumRetryCount: 0 } },
      Config: {
        Hostname: '72c4fabc69d9',
        Env: ['PATH=/bin'],
        Image: 'agent-test-base',
        Volumes: null,
        Labels: {},
      },
      Mounts: [],
    };
    daemon.on('GET', `/containers/${id}/json`, json(200, answer));
    expect(await engine.inspectContainer(id)).toMatchObject({
      ...{
        name: 'other',
        state: 'dead',
        startedAt: undefined,
        binds: [],
        layers: [layer],
      },
    });
  });
});

it('an image lacks what says nothing', async () => {
  const Config = {
    Cmd: ['bash'],
    Entrypoint: null,
    Env: ['PATH=/bin'],
    Labels: null,
    OnBuild: null,
    User: '',
  };
  const answer = { Id: imageId, RepoTags: ['agent-test-base:latest'], RepoDigests: [], Config };
  daemon.on('GET', '/images/agent-test-base/json', json(200, answer));
  expect(await engine.inspectImage('agent-test-base')).toMatchObject({ id: imageId, labels: {} });
});

it('an API version that it no longer takes is refused in plain text, where 26.1 says it in JSON', async () => {
  const words =
    'client version 1.22 is too old. Minimum supported API version is 1.24, please upgrade your client';
  daemon.on('GET', '/info', text(400, `${words}\n`));
  const error = await engine.readInfo().catch((thrown: unknown) => thrown);
  expect(isEngineError(error, 'refused') && error.originalMessage).toBe(words);
});
