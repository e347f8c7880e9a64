import * as v from 'valibot';
import type { HostSnapshot } from '../snapshot.ts';

/** Members of `/info` that explain a fault of an agent. Names of images, of networks and of the host's users are not among them. */
const members = [
  'ServerVersion',
  'OperatingSystem',
  'OSType',
  'KernelVersion',
  'Architecture',
  'NCPU',
  'MemTotal',
  'Containers',
  'ContainersRunning',
  'ContainersStopped',
  'Images',
  'Driver',
  'DriverStatus',
  'DockerRootDir',
  'LoggingDriver',
  'CgroupDriver',
  'CgroupVersion',
  'DefaultRuntime',
  'InitBinary',
  'SecurityOptions',
  'LiveRestoreEnabled',
  'HttpProxy',
  'HttpsProxy',
  'NoProxy',
  'Warnings',
] as const;

const infoSchema = v.record(v.string(), v.unknown());

/** Pure: version and facts of the engine, or why they are unknown. */
export function describeEngine({ engine, info, containers }: HostSnapshot): unknown {
  const version = engine.known ? engine.value : { problem: engine.why };
  const listed = containers.known ? containers.value.length : { problem: containers.why };
  return { version, listed, info: describeInfo(info) };
}

function describeInfo(info: HostSnapshot['info']): unknown {
  if (!info.known) return { problem: info.why };
  const { text, ...rest } = info.value;
  try {
    const all = v.parse(infoSchema, JSON.parse(text));
    return Object.fromEntries(members.flatMap((name) => (name in all ? [[name, all[name]]] : [])));
  } catch {
    return rest;
  }
}
