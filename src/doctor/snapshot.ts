import type { RoleTitle } from '../agent/identity/roles.ts';
import type { ServingReading } from '../agent/run/serving/file.ts';
import type { LeakFigures } from '../cleanup/leak-figures.ts';
import type { CredentialsState } from '../control-plane/credentials.ts';
import type { ContainerDetails, ContainerSummary, EngineInfo, EngineVersion } from '../engine/engine.ts';
import type { EngineFeatures } from '../engine/features.ts';
import type { KeptServer } from '../host/files/kept-server.ts';
import type { LockHolder } from '../host/files/lock.ts';
import type { MachineReading } from '../host/machine.ts';
import type { MountHolder } from '../host/mounts/holders.ts';
import type { StatusReading } from '../host/files/status.ts';
import type { PoolMode } from '../host/pool-mode.ts';
import type { FileSystemFacts } from '../host/storage.ts';
import type { HttpsRule } from '../support/configuration.ts';

/** A fact that was probed, or why it could not be. */
export type Seen<T> =
  | { readonly known: true; readonly value: T }
  | {
      readonly known: false;
      /** One sentence. */
      readonly why: string;
      /** What a person can do so that it becomes known. */
      readonly hint?: string;
      /** It cannot be seen from where the doctor was started: nothing is wrong with the host. */
      readonly blind: boolean;
      /** There was no answer in time. */
      readonly unresponsive?: true;
    };

/** An agent's container, in a role by its name or running under another one. */
export interface AgentSnapshot {
  readonly role: RoleTitle | 'other';
  /** False for an unmanaged container with the name of a role; it is shown, and nothing that it says is believed. */
  readonly managed: boolean;
  /** Of an unmanaged one: when it was created and what it runs, for a person. */
  readonly origin?: string;
  /** From an inspection, or else from the list, which is correct for a dead container that cannot be inspected. */
  readonly state: ContainerDetails['state'];
  /** The engine did not answer an inspection: facts that are not in a list are unknown. */
  readonly hangs: boolean;
  readonly id: string;
  readonly name: string;
  readonly image: string;
  /** It has this entrypoint; false for the legacy one, whose loop can leak. */
  readonly ownEntrypoint: boolean;
  /** Milliseconds since 1970, as are the next two. */
  readonly createdAt: number;
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
  /** Undefined if it was not inspected. */
  readonly exitCode: number | undefined;
  readonly restartCount: number;
  /** Its server, without keys and tokens. */
  readonly server: string | undefined;
}

/** The server's answer to the agent's keys. */
export interface ServerSnapshot {
  /** Without keys and tokens. */
  readonly url: string;
  readonly answer:
    | {
        readonly kind: 'answered';
        readonly credentials: CredentialsState;
        /** The server's clock minus this host's clock, in ms; undefined if the server does not report it. */
        readonly skewMs: number | undefined;
        readonly tookMs: number;
      }
    | { readonly kind: 'none'; readonly reason: string };
  /** Of an https server and of `ca.crt`, as far as they could be read. */
  readonly certificates?: readonly CertificateSnapshot[];
  /** `AGENT_TLS_MIN=legacy`. */
  readonly legacyTls?: true;
  /** `AGENT_TLS_TRUST=ca.crt`. */
  readonly strictTrust?: true;
  /** `AGENT_REQUIRE_HTTPS`, of the agent and in agent.conf. */
  readonly https?: HttpsRule;
}

/** What the host's files say about the way to the server. */
export interface TransportSnapshot {
  /** The server that the keys of this host belong to; undefined if that is not kept yet. */
  readonly kept: KeptServer | undefined;
  /** `AGENT_REQUIRE_HTTPS`, in agent.conf and of this process. */
  readonly https: HttpsRule;
}

/** `CATTLE_AGENT_IP`, by which the other hosts reach this one. */
export interface AddressSnapshot {
  readonly address: string;
  readonly from: 'agent.conf' | 'agent';
  /** An interface of this host has it. */
  readonly isHere: boolean;
}

/** When a certificate of the server, or of `ca.crt`, expires. */
export interface CertificateSnapshot {
  readonly where: 'server' | 'ca.crt';
  /** The server's own certificate, not one of an authority. */
  readonly isLeaf: boolean;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly endsAt: number;
}

/** Which processes hold mounts of containers, and whether that matters to this kernel. */
export interface MountSnapshot {
  readonly holders: readonly MountHolder[];
  readonly complete: boolean;
  /** The kernel can remove a mount point although another namespace has a mount there. */
  readonly kernelDetaches: boolean;
}

/** The log of a container that takes much of the disk. */
export interface LogSnapshot {
  /** Of the container. */
  readonly name: string;
  readonly bytes: number;
  /** On the host. */
  readonly path: string;
}

/** When a target image that failed is tried again. */
export interface AttemptSummary {
  readonly image: string;
  readonly failures: number;
  /** ISO 8601; missing: it may be tried at once. */
  readonly nextAt?: string;
}

export interface EngineSnapshot {
  readonly version: EngineVersion;
  readonly features: EngineFeatures;
  /** How long it took to answer, in ms. */
  readonly tookMs: number;
}

/**
 * Everything that the doctor has collected, at one moment. The checks are functions of this snapshot and the limits alone.
 */
export interface HostSnapshot {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly engine: Seen<EngineSnapshot>;
  readonly info: Seen<EngineInfo>;
  readonly fileSystem: Seen<FileSystemFacts>;
  /** Undefined without a devicemapper pool. */
  readonly poolMode: Seen<PoolMode | undefined>;
  /** Of at least DOCTOR_LOG bytes, the largest first. */
  readonly logs: Seen<readonly LogSnapshot[]>;
  /** Every container, whatever its state. */
  readonly containers: Seen<readonly ContainerSummary[]>;
  readonly agents: Seen<readonly AgentSnapshot[]>;
  /** Leaked helpers of the legacy entrypoint. */
  readonly leaks: Seen<LeakFigures>;
  readonly mounts: Seen<MountSnapshot>;
  readonly lock: Seen<LockHolder>;
  readonly key: Seen<'present' | 'missing' | 'damaged'>;
  /** Whether the host key was kept on this machine. */
  readonly machine: Seen<MachineReading>;
  /** Undefined without `CATTLE_AGENT_IP`. */
  readonly address: Seen<AddressSnapshot | undefined>;
  readonly server: Seen<ServerSnapshot>;
  readonly status: Seen<StatusReading>;
  readonly serving: Seen<ServingReading>;
  readonly attempts: Seen<readonly AttemptSummary[]>;
  readonly transport: Seen<TransportSnapshot>;
}

/** The part of the snapshot that `status` shows: it costs little, and a person may watch it. */
export type StatusSnapshot = Pick<
  HostSnapshot,
  'now' | 'agents' | 'leaks' | 'lock' | 'status' | 'serving' | 'attempts' | 'transport'
>;
