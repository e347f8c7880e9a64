import type { BootstrapScript } from '../../../control-plane/bootstrap.ts';
import type { Connection } from '../../../control-plane/http/connection.ts';
import { becomeScript, runScript, stageScript, type StagedScript } from './child.ts';
import type { Profile } from '../../identity/profile.ts';
import type { OtherServerError } from '../../origin/rule.ts';
import type { Reporter } from '../../report/reporter.ts';
import { openConnection, type ServerAccess } from '../../../control-plane/open-connection.ts';
import { readStamps } from './exit-by-design.ts';
import type { ServingObserver } from '../serving/record.ts';

/** A script that was staged on standby, and what the server sent. */
export interface StagedBefore {
  readonly script: StagedScript;
  readonly bootstrap: BootstrapScript;
  /** `Clock.elapsed`, ms. */
  readonly fetchedAt: number;
  /** The last check of the keys was answered, and the server accepted them. */
  readonly keysAccepted?: boolean;
}

/** What the loop does with scripts and processes; a simulation has its own. */
export interface ScriptRunner {
  readonly stage: typeof stageScript;
  readonly run: typeof runScript;
  readonly become: typeof becomeScript;
  readonly readStamps: typeof readStamps;
}

export const realScripts: ScriptRunner = {
  stage: stageScript,
  run: runScript,
  become: becomeScript,
  readStamps,
};

/** What the bootstrap loop works with. */
export interface BootstrapLoop extends ServerAccess {
  readonly profile: Profile;
  readonly reporter: Reporter;
  /** `openConnection`, unless a test passes its own. */
  readonly open?: (access: ServerAccess, url: string) => Promise<Connection>;
  /** `realScripts`, unless a simulation passes its own. */
  readonly scripts?: ScriptRunner;
  /** Why the keys may not be used: they are for another server than this host's. Without it nothing is checked. */
  readonly findOtherServer?: (cattleUrl: string) => Promise<OtherServerError | undefined>;
  /** Called with each script, before it runs: which image it requires is for somebody else to decide. Does not wait. */
  readonly onBootstrap: (bootstrap: BootstrapScript) => void;
  /** Resolves when the work that this process has begun for the host is done, or goes on without it. */
  readonly concludeWork: () => Promise<void>;
  /** Told what the loop observes. Without one the server is not asked while a bootstrap runs. */
  readonly serving?: ServingObserver;
  /** Runs first, without a request, unless it is older than STAGED_AGE. The loop removes it in any case. */
  readonly staged?: StagedBefore;
}

export async function connect(loop: BootstrapLoop, url: string): Promise<Connection> {
  return (loop.open ?? openConnection)(loop, url);
}

export function scriptsOf(loop: BootstrapLoop): ScriptRunner {
  return loop.scripts ?? realScripts;
}
