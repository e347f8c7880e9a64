import { fetchBootstrap } from '../../../control-plane/bootstrap.ts';
import type { Connection } from '../../../control-plane/http/connection.ts';
import { blankRequiredImage } from '../../../control-plane/required-image.ts';
import type { Configuration } from '../../../support/configuration.ts';
import { formatDuration } from '../../../support/deadline.ts';
import type { StagedScript, stageScript } from './child.ts';
import type { AgentSettings } from '../../../control-plane/open-connection.ts';
import { scriptsOf, type BootstrapLoop, type StagedBefore } from './loop-parts.ts';

/** Why there is no script to run. */
export interface NoScript {
  /** Stable code for programs. */
  readonly cause: 'server-unreachable' | 'no-script' | 'script-not-understood' | 'script-not-whole';
  readonly reason: string;
  readonly hint?: string;
}

/**
 * Fetches and checks the script; nothing that does not look like one whole bash script comes out of here. Which image the
 * server requires is handed on first: an agent that cannot stage or run the script must still follow its server to an
 * image that can.
 * @throws HostFolderUnwritableError, NoBashError
 */
export async function prepareScript(
  loop: BootstrapLoop,
  connection: Connection,
  settings: AgentSettings,
): Promise<StagedScript | NoScript> {
  const bootstrap = await fetchBootstrap(connection.client, settings.cattleUrl, settings.keys);
  if (!bootstrap.ok) {
    const cause = bootstrap.refusal === 'unreachable' ? 'server-unreachable' : 'no-script';
    const hint = bootstrap.hint === undefined ? {} : { hint: bootstrap.hint };
    return { cause, reason: bootstrap.reason, ...hint };
  }
  loop.onBootstrap(bootstrap);
  return stageBootstrap(bootstrap.script, loop.configuration, loop.signal, scriptsOf(loop).stage);
}

/**
 * Stages the server's script so that its upgrade branch cannot run.
 * @param text as the server sent it
 * @throws HostFolderUnwritableError, NoBashError
 */
export async function stageBootstrap(
  text: string,
  { limits, paths }: Configuration,
  signal: AbortSignal,
  stage: typeof stageScript,
): Promise<StagedScript | NoScript> {
  const blanked = blankRequiredImage(text);
  if (!blanked.ok) return { cause: 'script-not-understood', reason: blanked.reason };
  const staged = await stage(blanked.script, paths.staging, limits, signal);
  if (staged.complaint === undefined) return staged;
  await staged.dispose();
  return {
    cause: 'script-not-whole',
    reason: `the bootstrap script is not whole bash: ${staged.complaint}`,
  };
}

/** The script that was staged on standby, if it can still be run; else it is removed. */
export async function takeStaged(
  loop: BootstrapLoop,
  staged: StagedBefore,
): Promise<StagedScript | undefined> {
  const age = loop.clock.elapsed() - staged.fetchedAt;
  if (staged.script.complaint === undefined && age <= loop.configuration.limits.STAGED_AGE) {
    loop.onBootstrap(staged.bootstrap);
    return staged.script;
  }
  loop.log.info(`the script that was staged on standby is ${formatDuration(age)} old: it is fetched again`);
  await staged.script.dispose();
  return undefined;
}
