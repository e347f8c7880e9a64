import { fetchBootstrap } from '../control-plane/bootstrap.ts';
import type { Connection } from '../control-plane/connection.ts';
import { checkCredentials } from '../control-plane/credentials.ts';
import {
  blankRequiredImage,
  readRequiredImage,
  type RequiredImage,
} from '../control-plane/required-image.ts';
import { describeUrl } from '../control-plane/url.ts';
import { HostFolderUnwritableError, ProgramMissingError } from '../host/errors.ts';
import type { Environment } from '../support/configuration.ts';
import { formatDuration } from '../support/deadline.ts';
import { ExitCode, messageOf, NotPermittedError, type EntrypointError } from '../support/errors.ts';
import { doubling } from '../support/retry.ts';
import { becomeScript, runScript, stageScript, type StagedScript } from './bootstrap-child.ts';
import type { Profile } from './profile.ts';
import type { Reporter } from './report.ts';
import type { ServingObserver } from './run/serving-record.ts';
import { openConnection, readAgentSettings, type AgentSettings, type ServerAccess } from './server.ts';
import { readRequirement } from './upgrade-decision.ts';

/** The cause in the status file when the server doesn't know the keys any more. */
export const revokedCause = 'keys-revoked';
/** And when the server's script can't be written down. */
const noRoomCause = 'no-room-for-bootstrap';
/** And when there is nothing in the image to run it with. */
const noBashCause = 'no-bash';

export interface BootstrapLoop extends ServerAccess {
  readonly profile: Profile;
  readonly reporter: Reporter;
  /** `openConnection`, unless a test passes its own. */
  readonly open?: (access: ServerAccess, url: string) => Promise<Connection>;
  /** Told which image the server requires; decides, and acts, without keeping the bootstrap waiting. */
  readonly onRequiredImage: (required: RequiredImage, script: string) => void;
  /** Settles when the work that this process has begun for the host is done, or goes on without it. */
  readonly concludeWork: () => Promise<void>;
  /** Told what the loop observes of server and bootstrap. */
  readonly serving?: ServingObserver;
}

/** How one turn of the loop ended, which decides on the pause behind it. */
type Turn =
  | { readonly kind: 'ran'; readonly ms: number }
  /** Nothing was run: the server is away, or said something that is not a script. */
  | { readonly kind: 'nothing'; readonly reason: string }
  | { readonly kind: 'revoked'; readonly reason: string };

/**
 * Keeps the server's bootstrap script running (contract §5): check the keys, fetch the script, look at it, blank its
 * upgrade branch, run it, pause, again. The pause doubles while things go wrong, with jitter, and starts anew after a
 * bootstrap that lasted. Ends only when the signal is aborted.
 */
export async function keepBootstrapRunning(loop: BootstrapLoop): Promise<never> {
  const { configuration, clock, log, signal } = loop;
  const { limits } = configuration;
  const settings = readAgentSettings(configuration.environment);
  let failures = 0;
  for (;;) {
    const turn = await takeTurn(loop, settings);
    signal.throwIfAborted();
    failures = turn.kind === 'ran' && turn.ms >= limits.BOOTSTRAP_HEALTHY ? 1 : failures + 1;
    const pause = choosePause(turn, failures, loop);
    log.info(`${describeTurn(turn)}; next in ${formatDuration(pause)}`);
    await clock.sleep(pause, signal);
  }
}

/** One turn. What goes wrong with the server or its script is a turn without a run, never the end of the loop. */
async function takeTurn(loop: BootstrapLoop, settings: AgentSettings): Promise<Turn> {
  try {
    const connection = await (loop.open ?? openConnection)(loop, settings.cattleUrl);
    const credentials = await checkCredentials(connection.client, settings);
    if (credentials.state === 'revoked') return await tellRevoked(loop, settings, credentials.reason);
    if (credentials.state === 'live') {
      await tellRestored(loop, revokedCause, 'the server knows the keys of this agent again');
    } else loop.log.warn(`the keys could not be checked: ${credentials.reason}`);
    const script = await prepareScript(loop, connection, settings);
    if ('reason' in script) return { kind: 'nothing', ...script };
    await tellRestored(loop, noRoomCause, "there is room for the server's bootstrap script again");
    await tellRestored(loop, noBashCause, "this image has a bash for the server's bootstrap script");
    return await runTurn(loop, settings, script);
  } catch (error) {
    loop.signal.throwIfAborted();
    if (error instanceof HostFolderUnwritableError) return tellNoRoom(loop, error);
    if (error instanceof ProgramMissingError) return tellNoBash(loop, error);
    return { kind: 'nothing', reason: messageOf(error) };
  }
}

/** Fetches and checks the script; nothing that doesn't look like one whole bash script comes out of here. */
async function prepareScript(
  loop: BootstrapLoop,
  connection: Connection,
  settings: AgentSettings,
): Promise<StagedScript | { readonly reason: string }> {
  const bootstrap = await fetchBootstrap(connection.client, settings.cattleUrl, settings.keys);
  if (!bootstrap.ok) return { reason: `nothing was run: ${bootstrap.reason}` };
  const blanked = blankRequiredImage(bootstrap.script);
  if (!blanked.ok) return { reason: `nothing was run: ${blanked.reason}` };
  const { limits, paths } = loop.configuration;
  const staged = await stageScript(blanked.script, paths.staging, limits, loop.signal);
  if (staged.complaint !== undefined) {
    await staged.dispose();
    return { reason: `nothing was run: the bootstrap script is not whole bash: ${staged.complaint}` };
  }
  loop.onRequiredImage(readRequiredImage(bootstrap.script), bootstrap.script);
  return staged;
}

/** What the server requires now, for whoever can't wait for the next bootstrap; undefined without a whole script. */
export async function askRequiredImage(
  access: ServerAccess,
  image: string,
): Promise<RequiredImage | undefined> {
  const settings = readAgentSettings(access.configuration.environment);
  const { client } = await openConnection(access, settings.cattleUrl);
  const bootstrap = await fetchBootstrap(client, settings.cattleUrl, settings.keys);
  return bootstrap.ok ? readRequirement(bootstrap.script, image) : undefined;
}

async function runTurn(loop: BootstrapLoop, settings: AgentSettings, script: StagedScript): Promise<Turn> {
  const { clock, log, configuration, signal } = loop;
  const environment = composeEnvironment(loop, settings);
  try {
    if (environment['CATTLE_EXEC_AGENT'] === 'true') return await leaveTo(loop, script, environment);
    log.info(`running the bootstrap of ${describeUrl(settings.cattleUrl)}`);
    const begun = clock.elapsed();
    const exit = await runScript(script.file, environment, { limits: configuration.limits, clock, signal });
    log.info(
      'the bootstrap has ended',
      exit.signal === null ? { status: exit.status } : { signal: exit.signal },
    );
    return { kind: 'ran', ms: clock.elapsed() - begun };
  } finally {
    await script.dispose();
  }
}

/** Nothing of this process comes after that: whatever the host still needs of it comes first. */
async function leaveTo(loop: BootstrapLoop, script: StagedScript, environment: Environment): Promise<never> {
  await loop.concludeWork();
  loop.signal.throwIfAborted();
  loop.log.info('CATTLE_EXEC_AGENT: the bootstrap takes the place of this process');
  return becomeScript(script.file, environment);
}

/** What the script and the agent that it becomes see (contract §5, control-plane §5.4). */
function composeEnvironment({ configuration }: BootstrapLoop, settings: AgentSettings): Environment {
  const environment: Record<string, string> = {
    CATTLE_HOME: '/var/lib/cattle',
    CATTLE_CONFIG_URL: settings.cattleUrl,
    CATTLE_STORAGE_URL: settings.cattleUrl,
    ...configuration.environment,
    CATTLE_STATE_DIR: configuration.paths.state,
    CATTLE_AGENT_LOG_FILE: '/var/log/rancher/agent.log',
  };
  // From the environment it would bring the script's upgrade branch back to life.
  delete environment['REQUIRED_IMAGE'];
  return environment;
}

async function tellRevoked(loop: BootstrapLoop, settings: AgentSettings, reason: string): Promise<Turn> {
  const error = new NotPermittedError('the server does not know the keys of this agent any more', {
    said: reason,
    hint: `register this host again: docker run … IMAGE with the registration URL of ${describeUrl(settings.cattleUrl)}`,
  });
  await loop.reporter.ended({
    state: 'failed',
    exitCode: ExitCode.notPermitted,
    summary: error.message,
    cause: revokedCause,
    said: reason,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    next: `asked again in ${formatDuration(loop.configuration.limits.CREDENTIALS_PAUSE)}`,
  });
  return { kind: 'revoked', reason };
}

async function tellNoRoom(loop: BootstrapLoop, error: HostFolderUnwritableError): Promise<Turn> {
  return tellCannotBegin(loop, error, {
    summary: `the server's bootstrap script can't be written down: ${error.message}`,
    cause: noRoomCause,
    hint: 'free space or inodes; see the runbook, "the storage is low"',
  });
}

async function tellNoBash(loop: BootstrapLoop, error: ProgramMissingError): Promise<Turn> {
  return tellCannotBegin(loop, error, {
    summary: `the server's bootstrap script can't be run: ${error.message}`,
    cause: noBashCause,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

/** An agent that can't even begin its bootstrap does nothing for its host: that is no `ok`, and the log says it in any case. */
async function tellCannotBegin(
  loop: BootstrapLoop,
  error: EntrypointError,
  told: { readonly summary: string; readonly cause: string; readonly hint?: string },
): Promise<Turn> {
  await loop.reporter.ended({
    ...told,
    state: 'failed',
    exitCode: error.exitCode,
    summary: `${told.summary}; rancher's agent does not run on this host`,
    next: 'tried again with growing pauses',
  });
  return { kind: 'nothing', reason: `nothing was run: ${told.summary}` };
}

/** What was wrong is so no more: a state that says otherwise must not stay. */
async function tellRestored({ reporter }: BootstrapLoop, cause: string, summary: string): Promise<void> {
  const before = await reporter.readBefore();
  if (before?.cause !== cause) return;
  await reporter.ended({ state: 'ok', exitCode: ExitCode.ok, summary });
}

/**
 * Half of each pause is chance, and more of it where the server may have gone away from all its hosts at once, so that
 * they don't ask it in the same second when it is back.
 */
function choosePause(turn: Turn, failures: number, loop: BootstrapLoop): number {
  const { limits } = loop.configuration;
  const whole =
    turn.kind === 'revoked'
      ? limits.CREDENTIALS_PAUSE
      : doubling(limits.BOOTSTRAP_PAUSE_MIN, limits.BOOTSTRAP_PAUSE_MAX)(failures);
  const mayBeAllHosts =
    turn.kind === 'nothing' || (turn.kind === 'ran' && turn.ms >= limits.BOOTSTRAP_HEALTHY);
  const chance = Math.max(whole / 2, mayBeAllHosts ? limits.BOOTSTRAP_SPREAD : 0);
  return Math.round(whole / 2 + chance * loop.clock.random());
}

function describeTurn(turn: Turn): string {
  switch (turn.kind) {
    case 'ran':
      return `the bootstrap ran for ${formatDuration(turn.ms)}`;
    case 'nothing':
      return turn.reason;
    case 'revoked':
      return `the keys are revoked (${turn.reason})`;
  }
}
