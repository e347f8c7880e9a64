import { judgeBootstrap, type BootstrapScript } from '../../../../control-plane/bootstrap.ts';
import type { HttpResponse } from '../../../../control-plane/http/client.ts';
import { blankRequiredImage } from '../../../../control-plane/required-image.ts';
import { HostFolderUnwritableError, NoBashError } from '../../../../host/errors.ts';
import { quote } from '../../../../control-plane/http/answer.ts';
import type { Limits } from '../../../../support/limits/limits.ts';
import { stageScript, type StagedScript } from '../../bootstrap/child.ts';
import type { ReadinessFailure } from '../result.ts';
import { hintOf } from '../../bootstrap/server-faults.ts';
import type { StateCause } from '../../../../support/causes.ts';

/** A bootstrap script that is ready to run: what the promoted agent runs first, without a request. */
export interface StagedBootstrap {
  readonly script: StagedScript;
  /** As the server sent it, its upgrade branch included. */
  readonly bootstrap: BootstrapScript;
  /** `Clock.elapsed` when the server sent it. */
  readonly fetchedAt: number;
}

export type ScriptVerdict = { readonly failure: ReadinessFailure } | { readonly staged: StagedBootstrap };

/** Whether an answer is one whole bash script; it is staged as it will be run. */
export async function checkScript(
  { response, fetchedAt }: { readonly response: HttpResponse; readonly fetchedAt: number },
  {
    folders,
    limits,
    signal,
  }: { readonly folders: readonly string[]; readonly limits: Limits; readonly signal: AbortSignal },
): Promise<ScriptVerdict> {
  const bootstrap = judgeBootstrap(response);
  if (!bootstrap.ok) {
    const isPart = bootstrap.refusal === 'truncated' || response.text.includes('\0');
    return { failure: isPart ? notWhole(bootstrap.reason) : noScript(bootstrap.reason) };
  }
  const blanked = blankRequiredImage(bootstrap.script);
  if (!blanked.ok) return { failure: notWhole(blanked.reason) };
  try {
    const script = await stageScript(blanked.script, folders, limits, signal);
    if (script.complaint === undefined) return { staged: { script, bootstrap, fetchedAt } };
    await script.dispose();
    return {
      failure: notWhole(
        `the bash of this image cannot read the bootstrap script: ${quote(script.complaint)}`,
      ),
    };
  } catch (error) {
    signal.throwIfAborted();
    return { failure: explainStaging(error) };
  }
}

function explainStaging(error: unknown): ReadinessFailure {
  if (error instanceof NoBashError) {
    return describe('ready-script-no-bash', error.message, error.hint);
  }
  if (error instanceof HostFolderUnwritableError) {
    return describe(
      'ready-script-no-room',
      `the bootstrap script cannot be written: ${error.message}`,
      error.hint,
    );
  }
  throw error;
}

function notWhole(reason: string): ReadinessFailure {
  return describe(
    'ready-script-not-whole',
    reason,
    "Look at the script: curl CATTLE_URL/scripts/bootstrap | bash -n, in this image's bash.",
  );
}

function noScript(reason: string): ReadinessFailure {
  return { ...describe('ready-script-page', reason, hintOf('page')), fault: 'way' };
}

function describe(cause: StateCause, message: string, hint: string | undefined): ReadinessFailure {
  return { check: 'script', fault: 'image', cause, message, ...(hint === undefined ? {} : { hint }) };
}
