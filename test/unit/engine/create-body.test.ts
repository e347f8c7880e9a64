import { describe, expect, it } from 'vitest';
import { buildCreateBody } from '../../../src/engine/create-body.ts';
import type { ContainerSpec } from '../../../src/engine/engine.ts';
import { featuresOf } from '../../../src/engine/features.ts';

const spec: ContainerSpec = {
  image: 'rancher/agent:v2',
  command: ['run'],
  environment: { A: '1', B: '' },
  labels: { role: 'worker' },
  restart: 'no',
  autoRemove: true,
  privileged: true,
  hostNetwork: false,
  hostPid: true,
  binds: ['/a:/b:ro'],
  hostCgroupNamespace: true,
};

describe('the body of a create', () => {
  it('for an engine of today', () => {
    expect(buildCreateBody(spec, featuresOf('1.41'))).toEqual({
      Image: 'rancher/agent:v2',
      Cmd: ['run'],
      Env: ['A=1', 'B='],
      Labels: { role: 'worker' },
      HostConfig: {
        Binds: ['/a:/b:ro'],
        Privileged: true,
        RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
        NetworkMode: 'default',
        PidMode: 'host',
        UsernsMode: 'host',
        AutoRemove: true,
        CgroupnsMode: 'host',
      },
    });
  });

  it('for the engine of the incident: nothing it would ignore or refuse', () => {
    expect(buildCreateBody(spec, featuresOf('1.22'))).not.toMatchObject({ HostConfig: { AutoRemove: true } });
    expect(JSON.stringify(buildCreateBody(spec, featuresOf('1.22')))).not.toMatch(
      /AutoRemove|CgroupnsMode|UsernsMode|LogConfig/,
    );
  });

  it('with log settings, if the container has some of its own', () => {
    const logging = { driver: 'json-file', options: { 'max-size': '10000000' } };
    expect(buildCreateBody({ ...spec, logging }, featuresOf('1.22'))).toMatchObject({
      HostConfig: { LogConfig: { Type: 'json-file', Config: { 'max-size': '10000000' } } },
    });
  });

  it('has security options and limits as each engine takes them', () => {
    const limited: ContainerSpec = {
      ...spec,
      securityOptions: [
        ['label', 'disable'],
        ['seccomp', 'unconfined'],
      ],
      memoryBytes: 1_000,
      pidsLimit: 64,
    };
    expect(buildCreateBody(limited, featuresOf('1.23'))).toMatchObject({
      HostConfig: { SecurityOpt: ['label=disable', 'seccomp=unconfined'], Memory: 1_000, PidsLimit: 64 },
    });
    // 1.10.3 refuses an equals sign.
    expect(buildCreateBody(limited, featuresOf('1.22'))).toMatchObject({
      HostConfig: { SecurityOpt: ['label:disable', 'seccomp:unconfined'], Memory: 1_000 },
    });
    expect(JSON.stringify(buildCreateBody(limited, featuresOf('1.22')))).not.toContain('PidsLimit');
  });

  it('of an agent: restarts always, is never removed by the engine, and shares the host’s network', () => {
    const agent: ContainerSpec = {
      ...spec,
      restart: 'always',
      autoRemove: false,
      hostNetwork: true,
      oomScoreAdjust: -500,
      volumesFrom: ['state'],
    };
    expect(buildCreateBody(agent, featuresOf('1.41'))).toMatchObject({
      HostConfig: {
        RestartPolicy: { Name: 'always' },
        NetworkMode: 'host',
        OomScoreAdj: -500,
        VolumesFrom: ['state'],
      },
    });
    expect(JSON.stringify(buildCreateBody(agent, featuresOf('1.41')))).not.toContain('AutoRemove');
  });
});
