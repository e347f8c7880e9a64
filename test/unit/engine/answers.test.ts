import { describe, expect, it } from 'vitest';
import { readDetails, readImage, readInfo, readSummary, stateOfStatus } from '../../../src/engine/answers.ts';

/** Recorded from engines 1.10.3 and 20.10.24, cut down to what matters. */

const id = 'a'.repeat(64);

/** 1.10.3: no `State` in lists; names without a slash never; nulls where nothing is. */
const listed = {
  Id: id,
  Names: ['/other/alias', '/rancher-agent'],
  Image: 'rancher/agent:v1.0.2',
  ImageID: 'sha256:1',
  Command: '/run.sh run',
  Created: 1_467_331_200,
  Ports: [],
  Labels: null,
  Status: 'Up 3 minutes',
  HostConfig: { NetworkMode: 'host' },
};

const oldDetails = {
  Id: id,
  Created: '2016-07-01T00:00:00Z',
  Path: '/run.sh',
  Args: null,
  State: {
    Status: 'running',
    Running: true,
    Paused: false,
    Restarting: false,
    OOMKilled: false,
    Dead: false,
    Pid: 1,
    ExitCode: 0,
    Error: '',
    StartedAt: '2016-07-01T00:00:01.5Z',
    FinishedAt: '0001-01-01T00:00:00Z',
  },
  Image: 'sha256:1',
  Name: '/rancher-agent',
  RestartCount: 0,
  HostConfig: { Binds: null, RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } },
  Config: { Image: 'rancher/agent:v1.0.2', Env: ['A=1', 'BARE', 'B=x=y'], Labels: null },
};

describe('a list', () => {
  it('of an old engine: the state is read from the status, the name is the container’s own', () => {
    expect(readSummary(listed)).toEqual({
      id,
      name: 'rancher-agent',
      networkMode: 'host',
      image: 'rancher/agent:v1.0.2',
      imageId: 'sha256:1',
      command: '/run.sh run',
      state: 'running',
      labels: {},
      createdAt: 1_467_331_200_000,
    });
  });

  it('of a new engine: the state is the state', () => {
    expect(readSummary({ ...listed, State: 'removing', Status: 'Dead' })?.state).toBe('removing');
  });

  it('a state of an engine of tomorrow is taken from its status', () => {
    expect(readSummary({ ...listed, State: 'hibernating', Status: 'Exited (0) now' })?.state).toBe('exited');
  });

  it.each([
    ['Up 3 minutes', 'running'],
    ['Up 3 minutes (Paused)', 'paused'],
    ['Up 2 hours (healthy)', 'running'],
    ['Exited (137) 2 hours ago', 'exited'],
    ['Restarting (1) 5 seconds ago', 'restarting'],
    ['Dead', 'dead'],
    ['Removal In Progress', 'removing'],
    ['Removal in progress', 'removing'],
    ['Created', 'created'],
    ['', 'created'],
    ['Something else', 'exited'],
  ])('status %j is %s', (status, state) => {
    expect(stateOfStatus(status)).toBe(state);
  });

  it('entries that are no containers, are no containers', () => {
    expect([null, {}, { Id: 5 }].map(readSummary)).toEqual([undefined, undefined, undefined]);
  });

  it('a container without a name of its own has none, rather than another one’s', () => {
    expect(readSummary({ Id: id, Names: ['/other/alias'] })?.name).toBe('');
    expect(readSummary({ Id: id, Names: null })?.name).toBe('');
  });
});

describe('an inspection', () => {
  it('of an old engine, with its nulls and bare names', () => {
    expect(readDetails(oldDetails)).toEqual({
      id,
      name: 'rancher-agent',
      image: 'rancher/agent:v1.0.2',
      imageId: 'sha256:1',
      labels: {},
      environment: { A: '1', B: 'x=y' },
      command: ['/run.sh'],
      binds: [],
      privileged: false,
      networkMode: '',
      state: 'running',
      exitCode: 0,
      pid: 1,
      createdAt: Date.parse('2016-07-01T00:00:00Z'),
      startedAt: Date.parse('2016-07-01T00:00:01.5Z'),
      finishedAt: undefined,
      restartCount: 0,
      restartPolicy: 'always',
      mounts: [],
      layers: [],
      storageDriver: '',
    });
  });

  it('one that never ran has not started in the year 1', () => {
    const State = {
      ...oldDetails.State,
      Status: 'created',
      Running: false,
      StartedAt: '0001-01-01T00:00:00Z',
    };
    expect(readDetails({ ...oldDetails, State })).toMatchObject({ state: 'created', startedAt: undefined });
  });

  it('a dead one is dead, whatever its status says', () => {
    const State = { ...oldDetails.State, Status: 'exited', Running: false, Dead: true };
    expect(readDetails({ ...oldDetails, State }).state).toBe('dead');
  });

  it.each([undefined, null, {}, { RestartPolicy: null }])(
    'HostConfig %j: nothing is known of its policy',
    (HostConfig) => {
      expect(readDetails({ ...oldDetails, HostConfig })).toMatchObject({ binds: [], restartPolicy: '' });
    },
  );

  it.each([
    [{ Privileged: true }, true, []],
    [{ Privileged: null, Binds: ['/a:/b:ro'] }, false, ['/a:/b:ro']],
    // What `--mount` asks for: a bind mount counts, a volume or a tmpfs does not.
    [
      {
        Binds: null,
        Mounts: [
          { Type: 'bind', Source: '/var/run/docker.sock', Target: '/var/run/docker.sock', ReadOnly: true },
          { Type: 'volume', Source: 'v', Target: '/v' },
          { Type: 'tmpfs', Target: '/t' },
        ],
      },
      false,
      ['/var/run/docker.sock:/var/run/docker.sock'],
    ],
    [{ Mounts: null }, false, []],
  ])('HostConfig %j: its privileges and bind mounts', (HostConfig, privileged, binds) => {
    expect(readDetails({ ...oldDetails, HostConfig })).toMatchObject({ privileged, binds });
  });

  it('what has no id or state is no inspection: better an error than a decision on nothing', () => {
    expect(() => readDetails({})).toThrow();
    expect(() => readDetails({ ...oldDetails, Id: undefined })).toThrow();
    expect(() => readDetails({ ...oldDetails, State: undefined })).toThrow();
    expect(() => readDetails(null)).toThrow();
  });
});

describe('what the engine tells about itself and images', () => {
  it('keeps the whole text, and has a Docker root even if nothing is said', () => {
    const body = JSON.stringify({
      OperatingSystem: 'Boot2Docker 1.10',
      Driver: 'devicemapper',
      DriverStatus: [['Data Space Used', '1 GB']],
    });
    expect(readInfo(body)).toEqual({
      operatingSystem: 'Boot2Docker 1.10',
      rootDirectory: '/var/lib/docker',
      storageDriver: 'devicemapper',
      driverStatus: [['Data Space Used', '1 GB']],
      text: body,
    });
    expect(readInfo('{"DriverStatus":null}').driverStatus).toEqual([]);
  });

  it('an image without labels, tags or digests has none', () => {
    const none = { id: 'i', labels: {}, repoTags: [], repoDigests: [], environment: {} };
    expect(readImage({ Id: 'i', RepoTags: null, RepoDigests: null, Config: { Labels: null } })).toEqual(none);
    expect(readImage({ Id: 'i' })).toEqual(none);
  });
});
