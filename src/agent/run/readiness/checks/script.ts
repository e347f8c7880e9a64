import { judgeBootstrap, type BootstrapScript } from '../../../../control-plane/bootstrap.ts';
import type { HttpResponse } from '../../../../control-plane/http/message.ts';
import { blankRequiredImage } from '../../../../control-plane/required-image.ts';
import { HostFolderUnwritableError, NoBashError } from '../../../../host/errors.ts';
import { CommandError } from '../../../../host/processes.ts';
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

interface Staging {
  readonly folders: readonly string[];
  readonly limits: Limits;
  readonly signal: AbortSignal;
}

/**
 * Whether an answer is one whole bash script; it is staged as it will be run. A script that is not whole is a fault of the
 * way, like a page: a server or a proxy cuts it off for a moment. The image is at fault only if its bash cannot read
 * anything.
 */
export async function checkScript(
  { response, fetchedAt }: { readonly response: HttpResponse; readonly fetchedAt: number },
  staging: Staging,
): Promise<ScriptVerdict> {
  const bootstrap = judgeBootstrap(response);
  if (!bootstrap.ok) {
    const isPart = bootstrap.refusal === 'truncated' || response.text.includes('\0');
    return { failure: isPart ? notWhole(bootstrap.reason) : noScript(bootstrap.reason) };
  }
  const blanked = blankRequiredImage(bootstrap.script);
  if (!blanked.ok) return { failure: notWhole(blanked.reason) };
  try {
    const script = await stage(blanked.script, staging);
    if (script.complaint === undefined) return { staged: { script, bootstrap, fetchedAt } };
    await script.dispose();
    return { failure: await explainComplaint(script.complaint, staging) };
  } catch (error) {
    staging.signal.throwIfAborted();
    return { failure: explainStaging(error) };
  }
}

async function stage(text: string, { folders, limits, signal }: Staging): Promise<StagedScript> {
  return stageScript(text, folders, limits, signal);
}

/** A bash that cannot read the shortest script either is broken. */
async function explainComplaint(complaint: string, staging: Staging): Promise<ReadinessFailure> {
  const shortest = await stage('#!/bin/bash\n:\n', staging);
  await shortest.dispose();
  if (shortest.complaint !== undefined) return brokenBash(quote(shortest.complaint));
  return notWhole(`the bash of this image cannot read the bootstrap script: ${quote(complaint)}`);
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
  if (error instanceof CommandError) return brokenBash(quote(error.message));
  throw error;
}

function brokenBash(words: string): ReadinessFailure {
  return describe(
    'ready-script-no-bash',
    `the bash of this image cannot be run: ${words}`,
    'Build the image from a base whose bash works: docker run --rm --privileged --entrypoint bash IMAGE --version.',
  );
}

function notWhole(reason: string): ReadinessFailure {
  const hint = "Look at the script: curl CATTLE_URL/scripts/bootstrap | bash -n, in this image's bash.";
  return { ...describe('ready-script-not-whole', reason, hint), fault: 'way' };
}

function noScript(reason: string): ReadinessFailure {
  return { ...describe('ready-script-page', reason, hintOf('page')), fault: 'way' };
}

function describe(cause: StateCause, message: string, hint: string | undefined): ReadinessFailure {
  return { check: 'script', fault: 'image', cause, message, ...(hint === undefined ? {} : { hint }) };
}
