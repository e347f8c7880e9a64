import type { RoleTitle } from '../agent/identity/role-table.ts';
import type { ServingReading } from '../agent/run/serving/file.ts';
import type { CredentialsState } from '../control-plane/credentials.ts';
import type { ContainerDetails, ContainerSummary, EngineInfo, EngineVersion } from '../engine/engine.ts';
import type { EngineFeatures } from '../engine/features.ts';
import type { LockHolder } from '../host/files/lock.ts';
import type { MountHolder } from '../host/mounts/holders.ts';
import type { StatusReading } from '../host/files/status.ts';
import type { FileSystemFacts } from '../host/storage.ts';

/** Something the doctor looked at, or why it could not. */
export type Seen<T> =
  | { readonly known: true; readonly value: T }
  | {
      readonly known: false;
      /** One sentence. */
      readonly why: string;
      /** What a person can do so that it is seen. */
      readonly hint?: string;
      /** It can't be seen from where the doctor was started: nothing of the host is to blame. */
      readonly blind: boolean;
      /** What was asked did not answer in time. */
      readonly silent?: true;
    };

/** An agent's container, in a role by its name or running under another one. */
export interface AgentRecord {
  readonly role: RoleTitle | 'other';
  /** Its image or label says agent; false for a stranger with our name. */
  readonly managed: boolean;
  /** As the list says; true in the case of a dead one that can't be inspected. */
  readonly state: ContainerDetails['state'];
  /** The engine didn't answer about this one: what is not in a list is not known. */
  readonly hangs: boolean;
  readonly id: string;
  readonly name: string;
  readonly image: string;
  /** Its `run` is ours; false for an older entrypoint, whose loop can leak. */
  readonly ownEntrypoint: boolean;
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
  readonly exitCode: number;
  readonly restartCount: number;
  /** Its server, without keys and tokens. */
  readonly server: string | undefined;
}

/** What the server said to the agent's keys. */
export interface ServerRecord {
  /** Without keys and tokens. */
  readonly url: string;
  readonly answer:
    | {
        readonly kind: 'answered';
        readonly credentials: CredentialsState;
        /** The server's clock less ours, in ms; undefined if it doesn't say. */
        readonly skewMs: number | undefined;
        readonly tookMs: number;
      }
    | { readonly kind: 'none'; readonly reason: string };
  /** Of an https server and of `ca.crt`, as far as they could be seen. */
  readonly certificates?: readonly CertificateRecord[];
  /** `AGENT_TLS_MIN=legacy`. */
  readonly legacyTls?: true;
}

/** When a certificate on the way to the server runs out. */
export interface CertificateRecord {
  readonly where: 'server' | 'ca.crt';
  /** The server's own, and none of an authority. */
  readonly isLeaf: boolean;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly endsAt: number;
}

/** Who holds mounts of containers, and whether this kernel minds. */
export interface MountRecord {
  readonly holders: readonly MountHolder[];
  readonly complete: boolean;
  /** The kernel removes a mount point although another namespace has something mounted there. */
  readonly kernelDetaches: boolean;
}

/** What happens to a target image next. */
export interface AttemptSummary {
  readonly image: string;
  readonly failures: number;
  /** ISO 8601; missing: at once. */
  readonly nextAt?: string;
}

export interface EngineRecord {
  readonly version: EngineVersion;
  readonly features: EngineFeatures;
  /** How long it took to answer, in ms. */
  readonly tookMs: number;
}

/** Everything the doctor has looked at, at one moment. The checks are functions of this and the limits alone. */
export interface HostRecord {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly engine: Seen<EngineRecord>;
  readonly info: Seen<EngineInfo>;
  readonly fileSystem: Seen<FileSystemFacts>;
  /** Every container, whatever its state. */
  readonly containers: Seen<readonly ContainerSummary[]>;
  readonly agents: Seen<readonly AgentRecord[]>;
  readonly mounts: Seen<MountRecord>;
  readonly lock: Seen<LockHolder>;
  readonly key: Seen<'present' | 'missing' | 'damaged'>;
  readonly server: Seen<ServerRecord>;
  readonly status: Seen<StatusReading>;
  readonly serving: Seen<ServingReading>;
  readonly attempts: Seen<readonly AttemptSummary[]>;
}
