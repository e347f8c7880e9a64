import type { Environment } from '../support/configuration.ts';
import type { RegistryAuth } from './registry-auth.ts';
import type { EngineFeatures } from './features.ts';

/**
 * The engine as the domain sees it: about a dozen verbs over our own small types. Every call has a deadline from the limits
 * and throws `EngineError` (it answered no), `EngineUnavailableError` (it did not answer) or `NotPermittedError` (we may not
 * use the socket). Reads are repeated a limited number of times, changes never: a caller must inspect again before it
 * repeats a change.
 */
export interface Engine {
  readonly version: EngineVersion;
  readonly features: EngineFeatures;
  readInfo(): Promise<EngineInfo>;
  /** Containers that match the filter. It is also applied here, because an old engine may ignore it. */
  listContainers(filter: ContainerFilter): Promise<readonly ContainerSummary[]>;
  /**
   * By name or id; undefined if the engine reports that there is none (1.10.3 also reports this for a dead one: see the
   * list). Of an inspection of more than ENGINE_ANSWER bytes, labels, environment, arguments and binds are left out: such a
   * container is never managed and never a leak.
   */
  inspectContainer(nameOrId: string): Promise<ContainerDetails | undefined>;
  /** @returns the id of the new container. @throws EngineError kind `conflict` when the name is taken. */
  createContainer(name: string, spec: ContainerSpec): Promise<string>;
  /** Success if it runs already. */
  startContainer(id: string): Promise<void>;
  /** SIGTERM, after `graceMs` SIGKILL; success if it has stopped already. */
  stopContainer(id: string, graceMs: number): Promise<void>;
  renameContainer(id: string, name: string): Promise<void>;
  /** Changes the restart policy; does nothing where the engine cannot (API below 1.23). */
  setRestartPolicy(id: string, policy: RestartPolicy): Promise<void>;
  /** One try. Success if it is gone already. `force` kills it first. Anonymous volumes stay. */
  removeContainer(id: string, options: { readonly force: boolean }): Promise<void>;
  /**
   * Waits for a container's exit. Resolves when the engine has accepted the request, so a container may be started right
   * after that and its exit is not missed.
   */
  awaitExit(id: string, signal: AbortSignal): Promise<{ readonly exit: Promise<ContainerExit> }>;
  /** Copies a container's log, from its beginning, until the container exits or the signal is aborted. */
  followLog(id: string, write: LogWriter, signal: AbortSignal): Promise<void>;
  /**
   * Attaches to what a container prints from now on, whatever its log driver is: a log may be one that cannot be read.
   * Resolves when the engine has accepted it, so that nothing is missed of a container that is started after that.
   * @returns copies what comes, until the container exits or the signal is aborted; to be called once
   */
  attach(id: string, signal: AbortSignal): Promise<(write: LogWriter) => Promise<void>>;
  /**
   * The end of a container's log, stdout and stderr in the engine's order, as the container wrote it: at most LOG_TAIL_LINES
   * lines, read within LOG_TAIL. Log drivers that cannot be read are an EngineError.
   */
  readLogTail(id: string): Promise<string>;
  /**
   * Calls back whenever the engine reports that a container was renamed, until the signal is aborted or the engine closes
   * the stream. It is only a hint: an event can be missed, so a caller that must know also inspects.
   */
  followRenames(id: string, onRename: () => void, signal: AbortSignal): Promise<void>;
  inspectImage(reference: string): Promise<ImageDetails | undefined>;
  /**
   * Pulls an image. If there is no progress for too long, or the pull takes too long in all, it throws an
   * EngineUnavailableError whose cause is a DeadlineError: a fault of the engine, the registry or the line looks the same
   * from here.
   */
  pullImage(reference: string, call: PullCall): Promise<void>;
  /** Whether a named volume exists. */
  hasVolume(name: string): Promise<boolean>;
  /**
   * Runs a command in a running container and returns what it printed. The engine cannot stop such a process: the command
   * must exit without help.
   * @throws EngineError when the container does not run, or when the answer is longer than `maxBytes`
   */
  execute(id: string, call: ExecuteCall): Promise<ExecuteResult>;
}

export interface ExecuteCall {
  /** Program and arguments. Every user of the host can read them: no secrets. */
  readonly command: readonly [string, ...string[]];
  /** For the whole call, in ms. */
  readonly deadlineMs: number;
  /** Limit of stdout and stderr together, in bytes. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
}

export interface ExecuteResult {
  /** Exit status; undefined where the engine did not say. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** The policies that people and we use; `on-failure` without a limit of its own. */
export const restartPolicies = ['no', 'always', 'unless-stopped', 'on-failure'] as const;
export type RestartPolicy = (typeof restartPolicies)[number];

export interface PullCall {
  /** Gets a short text from time to time. */
  readonly onProgress: (text: string) => void;
  readonly auth?: RegistryAuth | undefined;
  /** For the whole pull, in ms. */
  readonly totalMs: number;
  readonly signal?: AbortSignal;
}

/** Takes a piece of a container's log. */
export type LogWriter = (chunk: Buffer, stream: 'stdout' | 'stderr') => void;

export interface EngineVersion {
  /** e.g. `20.10.24+dfsg1` */
  readonly engine: string;
  /** The API version in use, e.g. `1.41`; lower than the engine's own if pinned. */
  readonly api: string;
}

export interface EngineInfo {
  readonly operatingSystem: string;
  /** The Docker root on the host, e.g. `/var/lib/docker`. */
  readonly rootDirectory: string;
  readonly storageDriver: string;
  /** Pairs as the engine prints them, e.g. `Data Space Used`, `12.3 GB`. */
  readonly driverStatus: readonly (readonly [string, string])[];
  /** The whole answer as text: `boot2docker` is searched anywhere in it (contract §2). */
  readonly text: string;
}

/** At least one of these, so that nobody requests an unfiltered list of all containers of an unhealthy host by mistake. */
export interface ContainerFilter {
  /** Exact names, without the leading slash. */
  readonly names?: readonly string[];
  /** Whole ids. */
  readonly ids?: readonly string[];
  readonly label?: string;
  /**
   * In any of these states. Alone it finds thousands on a host that leaks, and takes seconds there: ask once per start.
   */
  readonly states?: readonly ContainerState[];
}

export const containerStates = [
  'created',
  'running',
  'restarting',
  'paused',
  'exited',
  'dead',
  'removing',
] as const;
export type ContainerState = (typeof containerStates)[number];

export interface ContainerSummary {
  readonly id: string;
  /** Without the leading slash; links' aliases left out. */
  readonly name: string;
  readonly image: string;
  readonly imageId: string;
  readonly command: string;
  readonly state: ContainerState;
  /** `default`, `host`, `container:ID`, …; left out where the engine does not say. */
  readonly networkMode?: string;
  /** A list by id shows all of them, any other list only `listedLabels`. */
  readonly labels: Readonly<Record<string, string>>;
  /** It has labels that are not in `labels`. */
  readonly hasOtherLabels?: boolean;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

export interface ContainerDetails {
  readonly id: string;
  readonly name: string;
  /** As it was typed when the container was created. */
  readonly image: string;
  readonly imageId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly environment: Environment;
  /** Entrypoint and arguments. */
  readonly command: readonly string[];
  /** Bind mounts and named volumes, as they were asked for: `source:target[:options]`. */
  readonly binds: readonly string[];
  /** Started with `--privileged`. */
  readonly privileged: boolean;
  /** `default`, `host`, `container:ID`, …; only tests leave it out. */
  readonly networkMode?: string;
  readonly state: ContainerState;
  /** Process id in the host's pid namespace; 0 or left out while it does not run. */
  readonly pid?: number;
  readonly exitCode: number;
  /** Milliseconds since 1970; undefined if the engine does not say. */
  readonly createdAt: number | undefined;
  /** Milliseconds since 1970; undefined if it never ran. */
  readonly startedAt: number | undefined;
  /** Milliseconds since 1970; undefined if it never exited. */
  readonly finishedAt: number | undefined;
  readonly restartCount: number;
  /** `always`, `no`, …; empty if the engine does not say. */
  readonly restartPolicy: string;
  /** What is mounted where, volumes of other containers included; only tests leave it out. */
  readonly mounts?: readonly ContainerMount[];
  /** Ids of its own storage layers, as its mounts are called; image layers, which others share, left out. */
  readonly layers?: readonly string[];
  /** `overlay2`, `devicemapper`, …; empty if the engine does not say. */
  readonly storageDriver?: string;
  /** The engine's own settings, if the container was created without any; undefined if the engine does not say. */
  readonly logging?: LogSettings;
}

export interface ContainerMount {
  /** On the host. */
  readonly source: string;
  /** In the container. */
  readonly target: string;
  /** Name of the volume; undefined for a folder of the host. */
  readonly volume: string | undefined;
}

export interface ContainerSpec {
  readonly image: string;
  readonly command: readonly string[];
  readonly environment: Environment;
  readonly labels: Readonly<Record<string, string>>;
  readonly restart: 'always' | 'no';
  /** Left out where the engine does not know it (API below 1.25): another process must then remove the container. */
  readonly autoRemove: boolean;
  readonly privileged: boolean;
  /** Name and value, e.g. `label` and `disable`. */
  readonly securityOptions?: readonly (readonly [string, string])[];
  /** For all its processes, with swap twice as much; an engine whose kernel cannot do it ignores it, with a warning. */
  readonly memoryBytes?: number;
  /** Processes and threads; left out where the engine does not know it (API below 1.23). */
  readonly pidsLimit?: number;
  readonly hostNetwork: boolean;
  readonly hostPid: boolean;
  readonly oomScoreAdjust?: number;
  readonly binds: readonly string[];
  readonly volumesFrom?: readonly string[];
  /** Folders in the container that get a volume without a name. */
  readonly anonymousVolumes?: readonly string[];
  /** Left out where the engine does not know it (API below 1.41). */
  readonly hostCgroupNamespace?: boolean;
  /** Without it the engine's own settings count. */
  readonly logging?: LogSettings;
}

/** Where an engine keeps what a container prints. */
export interface LogSettings {
  /** `json-file`, `journald`, `none`, … */
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
}

/** How a container exited: its status, or `gone` if it was removed before the status could be read. */
export type ContainerExit = { readonly status: number } | 'gone';

export interface ImageDetails {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  /** What every container created from it has in its environment. */
  readonly environment?: Environment;
}
