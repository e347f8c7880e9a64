import type { ConnectionSight } from '../../../host/connections.ts';
import type { StateCause } from '../../../support/causes.ts';

/** The record in the container's own file system. On the host: `serving.json` in the folder of this entrypoint. */
export const servingFile = '/run/rancher-agent-entrypoint/serving.json';

/** The bootstrap loop calls it; implementations never throw and never wait for a disk. */
export interface ServingObserver {
  /** The server answered, and knows the keys. */
  answered(): void;
  /** The server gave no live answer, or refused. @param cause stable code @param message one sentence */
  unanswered(cause: StateCause, message: string): void;
  /** The bootstrap has been started. */
  began(): void;
  /** Whether it holds a connection to another machine, which may be the server's; `unseen`: unknown. Not called where nobody looks. */
  connection?(sight: ConnectionSight): void;
  /** Whether the present run is in doubt, because it can be seen to hold no connection. */
  isInDoubt?(): boolean;
  /** It has exited. */
  exited(exit: {
    readonly status: number | null;
    readonly signal: string | null;
    readonly ms: number;
    readonly byDesign: boolean;
  }): void;
  /** Nothing could be run, by no fault of the server: no bash, no room, a script that is not whole. */
  cannotRun(cause: StateCause, message: string): void;
  /** The script takes the place of this process: nobody will observe it from here on. */
  becameUnknown(cause: StateCause, message: string): void;
}
