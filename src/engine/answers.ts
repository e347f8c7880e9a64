import * as v from 'valibot';
import { parseEnvironmentList } from '../support/configuration.ts';
import {
  containerStates,
  type ContainerDetails,
  type ContainerState,
  type ContainerSummary,
  type EngineInfo,
  type EngineVersion,
  type ImageDetails,
} from './engine.ts';
import { higherVersion, lowerVersion } from './features.ts';
import { isOwnName } from './json/shapes.ts';

/**
 * Reads the engine's JSON tolerantly: engines from 1.10.3 to 28.5 leave fields out, set them to null or add some. The fields
 * that identify a container must be there; every other field has a harmless default.
 */

const text = v.optional(v.nullish(v.string(), ''), '');
const whole = v.optional(v.nullish(v.number(), 0), 0);
const texts = v.optional(v.nullish(v.array(v.string()), []), []);
const labels = v.optional(v.nullish(v.record(v.string(), v.string()), {}), {});

const detailsAnswer = v.object({
  Id: v.string(),
  Name: text,
  Image: text,
  Created: text,
  Driver: text,
  Path: text,
  Args: texts,
  RestartCount: whole,
  State: v.object({
    Status: text,
    Running: v.optional(v.boolean(), false),
    Dead: v.optional(v.boolean(), false),
    ExitCode: whole,
    Pid: whole,
    StartedAt: text,
    FinishedAt: text,
  }),
  Config: v.object({ Image: text, Env: texts, Labels: labels }),
  HostConfig: v.nullish(
    v.object({
      Binds: texts,
      // What `--mount` and newer compose files ask for. Engines before 1.13 do not have it.
      Mounts: v.optional(v.nullish(v.array(v.object({ Type: text, Source: text, Target: text })), []), []),
      Privileged: v.optional(v.nullish(v.boolean(), false), false),
      NetworkMode: text,
      RestartPolicy: v.nullish(v.object({ Name: text }), {}),
      LogConfig: v.nullish(v.object({ Type: text, Config: labels }), {}),
    }),
    {},
  ),
  Mounts: v.optional(v.nullish(v.array(v.object({ Name: text, Source: text, Destination: text })), []), []),
  GraphDriver: v.nullish(v.object({ Data: v.nullish(v.record(v.string(), v.unknown())) })),
});

const summaryAnswer = v.object({
  Id: v.string(),
  Names: texts,
  Image: text,
  ImageID: text,
  Command: text,
  Created: whole,
  State: text,
  Status: text,
  HostConfig: v.nullish(v.object({ NetworkMode: text }), {}),
  Labels: labels,
});

const infoAnswer = v.object({
  OperatingSystem: text,
  DockerRootDir: text,
  Driver: text,
  DriverStatus: v.optional(v.nullish(v.array(v.array(v.string())), []), []),
});

const imageAnswer = v.object({
  Id: v.string(),
  RepoTags: texts,
  RepoDigests: texts,
  Config: v.optional(v.nullish(v.object({ Labels: labels, Env: texts }), {}), {}),
});

/** Reads the answer of `GET /containers/{id}/json`. @throws if it is not one */
export function readDetails(answer: unknown): ContainerDetails {
  const raw = v.parse(detailsAnswer, answer);
  return {
    id: raw.Id,
    name: raw.Name.replace(/^\//, ''),
    image: raw.Config.Image,
    imageId: raw.Image,
    labels: raw.Config.Labels,
    environment: parseEnvironmentList(raw.Config.Env),
    command: [raw.Path, ...raw.Args],
    binds: [
      ...raw.HostConfig.Binds,
      ...raw.HostConfig.Mounts.filter(({ Type }) => Type === 'bind').map(
        ({ Source, Target }) => `${Source}:${Target}`,
      ),
    ],
    privileged: raw.HostConfig.Privileged,
    networkMode: raw.HostConfig.NetworkMode,
    state: readState(raw.State.Dead ? 'dead' : raw.State.Status, raw.State.Running ? 'running' : 'exited'),
    exitCode: raw.State.ExitCode,
    pid: raw.State.Pid,
    createdAt: readTime(raw.Created),
    startedAt: readTime(raw.State.StartedAt),
    finishedAt: readTime(raw.State.FinishedAt),
    restartCount: raw.RestartCount,
    restartPolicy: raw.HostConfig.RestartPolicy.Name,
    mounts: raw.Mounts.map(({ Name, Source, Destination }) => ({
      source: Source,
      target: Destination,
      volume: Name === '' ? undefined : Name,
    })),
    layers: readLayers(raw.GraphDriver?.Data ?? {}),
    storageDriver: raw.Driver,
    ...(raw.HostConfig.LogConfig.Type === ''
      ? {}
      : { logging: { driver: raw.HostConfig.LogConfig.Type, options: raw.HostConfig.LogConfig.Config } }),
  };
}

/** Reads one entry of the answer of `GET /containers/json`, with all labels; undefined if it is not a container. */
export function readSummary(entry: unknown): ContainerSummary | undefined {
  const parsed = v.safeParse(summaryAnswer, entry);
  if (!parsed.success) return undefined;
  const raw = parsed.output;
  const networkMode = raw.HostConfig.NetworkMode;
  return {
    id: raw.Id,
    name: raw.Names.find(isOwnName)?.replace(/^\//, '') ?? '',
    image: raw.Image,
    imageId: raw.ImageID,
    command: raw.Command,
    state: readState(raw.State, stateOfStatus(raw.Status)),
    ...(networkMode === '' ? {} : { networkMode }),
    labels: raw.Labels,
    createdAt: raw.Created * 1000,
  };
}

/**
 * A pinned version that the engine does not know, or no longer takes (26: below 1.24, 29: below 1.44), is corrected: the
 * engine may have been upgraded since the version was pinned, and every call with the old version would fail with 400.
 */
export function readVersion(body: string, pinned: string | undefined): EngineVersion {
  const answer: unknown = JSON.parse(body);
  const fields = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
  const textOf = (name: string) => (typeof fields[name] === 'string' ? fields[name] : undefined);
  const newest = textOf('ApiVersion') ?? '1.22';
  const engine = textOf('Version') ?? 'unknown';
  if (pinned === undefined) return { engine, api: newest };
  return { engine, api: lowerVersion(newest, higherVersion(textOf('MinAPIVersion') ?? pinned, pinned)) };
}

/** Reads the answer of `GET /info`. */
export function readInfo(body: string): EngineInfo {
  const raw = v.parse(infoAnswer, JSON.parse(body));
  return {
    operatingSystem: raw.OperatingSystem,
    rootDirectory: raw.DockerRootDir === '' ? '/var/lib/docker' : raw.DockerRootDir,
    storageDriver: raw.Driver,
    driverStatus: raw.DriverStatus.map(([name = '', value = '']) => [name, value] as const),
    text: body,
  };
}

/** Reads the answer of `GET /images/{name}/json`. */
export function readImage(answer: unknown): ImageDetails {
  const raw = v.parse(imageAnswer, answer);
  return {
    id: raw.Id,
    labels: raw.Config.Labels,
    repoTags: raw.RepoTags,
    repoDigests: raw.RepoDigests,
    environment: parseEnvironmentList(raw.Config.Env),
  };
}

/**
 * Every storage driver names a container's mount by an id of 64 hex digits, in different fields: `MergedDir` and `UpperDir`
 * (overlay), `DeviceName` (devicemapper), `Dataset` (zfs). Lower layers are the image's, and `ID` (28) is the container's.
 */
function readLayers(data: Readonly<Record<string, unknown>>): readonly string[] {
  const texts = Object.entries(data).filter(([name]) => !['ID', 'LowerDir'].includes(name));
  const ids = texts.flatMap(
    ([, value]) => (typeof value === 'string' ? value.match(/[0-9a-f]{64}/g) : []) ?? [],
  );
  return [...new Set(ids)];
}

/** 1.10.3 has no `State` in lists: `Exited (0) 2 hours ago`, `Dead`, `Up 3 minutes (Paused)`, `Created`. */
export function stateOfStatus(status: string): ContainerState {
  if (/^Up\b.*\(Paused\)/.test(status)) return 'paused';
  if (/^Up\b/.test(status)) return 'running';
  if (/^Restarting\b/.test(status)) return 'restarting';
  if (/^Dead\b/.test(status)) return 'dead';
  if (/^Removal/i.test(status)) return 'removing';
  if (/^(Created\b|$)/.test(status)) return 'created';
  return 'exited';
}

function readState(word: string, otherwise: ContainerState): ContainerState {
  return containerStates.find((state) => state === word) ?? otherwise;
}

/** `0001-01-01T00:00:00Z` stands for never. */
function readTime(text: string): number | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) || ms <= 0 ? undefined : ms;
}
