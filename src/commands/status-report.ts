import type { RoleTitle } from '../agent/identity/role-table.ts';
import type { ServingReading } from '../agent/run/serving/file.ts';
import type { ContainerState } from '../engine/engine.ts';
import type { LockHolder } from '../host/files/lock.ts';
import type { StatusReading } from '../host/files/status.ts';
import type { LeakFigures } from '../cleanup/leak-figures.ts';

/** What `status` shows; with `--json` exactly this (docs/json.md). */
export interface StatusReport extends StatusFacts {
  readonly version: 2;
  /** All of it in one sentence. */
  readonly verdict: HostVerdict;
  /** When it was looked at, as ISO 8601. */
  readonly checkedAt: string;
}

export interface StatusFacts {
  readonly status: StatusReading;
  /** What the active agent says of itself; `stale` and `missing`: not known. */
  readonly serving: ServingReading;
  readonly containers: readonly RoleHolder[] | Problem;
  readonly lock: LockHolder | Problem;
  /** Targets that failed and when each may be tried again. */
  readonly attempts: readonly {
    readonly image: string;
    readonly failures: number;
    readonly nextAt?: string;
  }[];
  /** Leaked helpers of older entrypoints. */
  readonly leaks: LeakFigures | Problem;
}

/** Why something is not known. */
export interface Problem {
  readonly problem: string;
}

export interface RoleHolder {
  readonly role: RoleTitle;
  readonly name: string;
  readonly id: string;
  readonly image: string;
  readonly state: ContainerState;
}

/** Whether a host is all right, in one word for programs and one sentence for people. */
export interface HostVerdict {
  /** `well`; `busy`: being worked on; `look`: a person should look; `bad`: no agent; `unknown`: the engine is silent. */
  readonly word: 'well' | 'busy' | 'look' | 'bad' | 'unknown';
  readonly sentence: string;
}
