import type { ContainerSpec } from './engine.ts';
import type { EngineFeatures } from './features.ts';

/** The body of `POST /containers/create`, with only what this engine understands. */
export function buildCreateBody(spec: ContainerSpec, features: EngineFeatures): object {
  const sign = features.equalsInSecurityOptions ? '=' : ':';
  return {
    Image: spec.image,
    Cmd: spec.command,
    Env: Object.entries(spec.environment).map(([name, value]) => `${name}=${value}`),
    Labels: spec.labels,
    ...(spec.anonymousVolumes === undefined
      ? {}
      : { Volumes: Object.fromEntries(spec.anonymousVolumes.map((folder) => [folder, {}])) }),
    HostConfig: {
      Binds: spec.binds,
      Privileged: spec.privileged,
      RestartPolicy: { Name: spec.restart, MaximumRetryCount: 0 },
      NetworkMode: spec.hostNetwork ? 'host' : 'default',
      ...(spec.securityOptions === undefined
        ? {}
        : { SecurityOpt: spec.securityOptions.map((option) => option.join(sign)) }),
      ...(spec.memoryBytes === undefined ? {} : { Memory: spec.memoryBytes }),
      ...(spec.pidsLimit !== undefined && features.pidsLimit ? { PidsLimit: spec.pidsLimit } : {}),
      ...(spec.hostPid ? { PidMode: 'host' } : {}),
      // All that we create works on the host. With `userns-remap` an engine refuses `Privileged` and `NetworkMode: host` without it.
      ...(features.userNamespace ? { UsernsMode: 'host' } : {}),
      ...(spec.logging === undefined
        ? {}
        : { LogConfig: { Type: spec.logging.driver, Config: spec.logging.options } }),
      ...(spec.oomScoreAdjust === undefined ? {} : { OomScoreAdj: spec.oomScoreAdjust }),
      ...(spec.volumesFrom === undefined ? {} : { VolumesFrom: spec.volumesFrom }),
      ...(spec.autoRemove && features.autoRemove ? { AutoRemove: true } : {}),
      ...(spec.hostCgroupNamespace === true && features.cgroupNamespace ? { CgroupnsMode: 'host' } : {}),
    },
  };
}
