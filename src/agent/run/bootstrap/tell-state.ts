import { describeUrl } from '../../../control-plane/url.ts';
import { HostFolderUnwritableError, NoBashError } from '../../../host/errors.ts';
import { formatDuration } from '../../../support/deadline.ts';
import { ExitCode, NotPermittedError } from '../../../support/errors.ts';
import type { AgentSettings } from '../../../control-plane/open-connection.ts';
import { registerAgain } from '../serving/causes.ts';
import type { OtherServerError } from '../../origin/rule.ts';
import type { BootstrapLoop } from './loop-parts.ts';
import type { Turn } from './pace.ts';
import type { StateCause } from '../../../support/causes.ts';

/** The cause in the status file when the server does not know the keys any more. */
export const revokedCause = 'keys-revoked';
/** And when the server's script cannot be written down. */
const noRoomCause = 'no-room-for-bootstrap';
/** And when there is nothing in the image to run it with. */
const noBashCause = 'no-bash';

type Telling = Pick<BootstrapLoop, 'reporter' | 'configuration' | 'serving'>;

export async function tellRevoked(loop: Telling, settings: AgentSettings, reason: string): Promise<Turn> {
  const error = new NotPermittedError('the server does not know the keys of this agent any more', {
    originalMessage: reason,
    hint: `${registerAgain} (the server is ${describeUrl(settings.cattleUrl)})`,
  });
  loop.serving?.unanswered(revokedCause, error.message);
  await loop.reporter.ended({
    state: 'failed',
    exitCode: ExitCode.notPermitted,
    summary: error.message,
    cause: revokedCause,
    originalMessage: reason,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    next: `asked again in ${formatDuration(loop.configuration.limits.CREDENTIALS_PAUSE)}`,
  });
  return { kind: 'revoked', reason };
}

/** @returns the turn, if the error says that this container cannot run a script at all */
export async function tellCannotRun(loop: Telling, error: unknown): Promise<Turn | undefined> {
  if (error instanceof HostFolderUnwritableError) {
    return tellCannotBegin(loop, {
      summary: `cannot write the server's bootstrap script: ${error.message}`,
      cause: noRoomCause,
      hint: 'free space or inodes; see the runbook, "the storage is low"',
    });
  }
  if (!(error instanceof NoBashError)) return undefined;
  return tellCannotBegin(loop, {
    summary: `cannot run the server's bootstrap script: ${error.message}`,
    cause: noBashCause,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

/** An agent that cannot even begin its bootstrap does nothing for its host: that is no `ok`, and the log says it in any case. */
async function tellCannotBegin(
  loop: Telling,
  fault: { readonly summary: string; readonly cause: StateCause; readonly hint?: string },
): Promise<Turn> {
  loop.serving?.cannotRun(fault.cause, fault.summary);
  await loop.reporter.ended({
    ...fault,
    state: 'failed',
    exitCode: ExitCode.cannotChange,
    summary: `${fault.summary}; rancher's agent does not run on this host`,
    next: 'tried again with growing pauses',
  });
  return { kind: 'nothing', reason: `nothing was run: ${fault.summary}` };
}

/** The keys are for another server than the one that this host belongs to: they are not used before a person says so. */
export async function tellOtherServer(loop: Telling, error: OtherServerError): Promise<Turn> {
  loop.serving?.cannotRun(error.code, error.message);
  const hint = error.hint === undefined ? {} : { hint: error.hint };
  await loop.reporter.ended({
    state: 'failed',
    exitCode: error.exitCode,
    summary: `${error.message}; rancher's agent does not run on this host`,
    cause: error.code,
    next: 'checked again with growing pauses',
    ...hint,
  });
  return { kind: 'nothing', reason: `nothing was run: ${error.message}`, ...hint };
}

/** The server knows the keys: a state that says otherwise must not stay. */
export async function tellKeysLive(loop: Telling): Promise<void> {
  await tellRestored(
    loop,
    'other-server',
    'the keys of this agent are for the server that this host belongs to',
  );
  await tellRestored(loop, revokedCause, 'the server knows the keys of this agent again');
}

/** The script could be staged: a state that says otherwise must not stay. */
export async function tellCanRun(loop: Telling): Promise<void> {
  await tellRestored(loop, noRoomCause, "there is room for the server's bootstrap script again");
  await tellRestored(loop, noBashCause, "this image has a bash for the server's bootstrap script");
}

async function tellRestored({ reporter }: Telling, cause: string, summary: string): Promise<void> {
  const before = await reporter.readBefore();
  if (before?.cause !== cause) return;
  await reporter.ended({ state: 'ok', exitCode: ExitCode.ok, summary });
}
