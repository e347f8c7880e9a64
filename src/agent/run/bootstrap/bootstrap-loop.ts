import { fetchBootstrap } from '../../../control-plane/bootstrap.ts';
import { checkCredentials, judgeRefusal, type CredentialsState } from '../../../control-plane/credentials.ts';
import type { RequiredImage } from '../../../control-plane/required-image.ts';
import { deadlineIn, formatDuration } from '../../../support/deadline.ts';
import { EntrypointError, messageOf, ServerUnavailableError } from '../../../support/errors.ts';
import { connect, type BootstrapLoop, type StagedBefore } from './loop-parts.ts';
import { observeKeys, unreachableCause } from './observe-keys.ts';
import { choosePause, describeTurn, initialPace, type Turn } from './pace.ts';
import { prepareScript, takeStaged, type NoScript } from './prepare-script.ts';
import { runStaged } from './run-script.ts';
import { tellCannotRun, tellCanRun, tellKeysLive, tellOtherServer, tellRevoked } from './tell-state.ts';
import {
  openConnection,
  readAgentSettings,
  type AgentSettings,
  type ServerAccess,
} from '../../../control-plane/open-connection.ts';
import { requirementOf } from '../upgrade-decision.ts';

export type { BootstrapLoop } from './loop-parts.ts';
export { revokedCause } from './tell-state.ts';

/** What the loop carries from turn to turn. */
interface Course {
  /** Not run yet. */
  staged: StagedBefore | undefined;
  /** Since when the server has refused the keys without an answer that says otherwise, by `Clock.elapsed`. */
  refusedSince: number | undefined;
}

/**
 * Keeps the server's bootstrap script running (contract §5): check the keys, fetch the script, look at it, blank its
 * upgrade branch, run it, pause, again. How long the pauses are: `choosePause`. Ends only when the signal is aborted.
 */
export async function keepBootstrapRunning(loop: BootstrapLoop): Promise<never> {
  const { configuration, clock, log, signal } = loop;
  const settings = readAgentSettings(configuration.environment);
  const course: Course = { staged: loop.staged, refusedSince: undefined };
  let pace = initialPace;
  for (;;) {
    const turn = await takeTurn(loop, settings, course);
    signal.throwIfAborted();
    const next = choosePause(turn, pace, configuration.limits, clock.random());
    pace = next.pace;
    const fields = turn.kind === 'nothing' && turn.hint !== undefined ? { hint: turn.hint } : {};
    log.info(`${describeTurn(turn)}; next in ${formatDuration(next.pause)}`, fields);
    await clock.sleep(next.pause, signal);
  }
}

/** One turn. What goes wrong with the server or its script is a turn without a run, never the end of the loop. */
async function takeTurn(loop: BootstrapLoop, settings: AgentSettings, course: Course): Promise<Turn> {
  try {
    const { staged } = course;
    course.staged = undefined;
    const script = staged === undefined ? undefined : await takeStaged(loop, staged);
    // This process was answered on standby, moments ago.
    if (script !== undefined && staged?.keysAccepted === true) loop.serving?.answered();
    return script === undefined
      ? await askAndRun(loop, settings, course)
      : await runStaged(loop, settings, script);
  } catch (error) {
    loop.signal.throwIfAborted();
    return (await tellCannotRun(loop, error)) ?? observeFailure(loop, error);
  }
}

async function askAndRun(loop: BootstrapLoop, settings: AgentSettings, course: Course): Promise<Turn> {
  const refused = await waitForAcceptance(loop, settings);
  if (refused !== undefined) return refused;
  const connection = await connect(loop, settings.cattleUrl);
  const keys = await checkCredentials(connection.client, settings);
  const turn = await judgeKeys(loop, settings, keys, course);
  if (turn !== undefined) return turn;
  const script = await prepareScript(loop, connection, settings);
  if ('reason' in script) return observeNoScript(loop, script);
  await tellCanRun(loop);
  return runStaged(loop, settings, script);
}

/**
 * Keys for another server than this host's are not used. A person's word, a registration mostly, ends that at once.
 * @returns the turn, if nobody has said so within OTHER_SERVER_WAIT
 */
async function waitForAcceptance(
  loop: BootstrapLoop,
  { cattleUrl }: AgentSettings,
): Promise<Turn | undefined> {
  const { clock, configuration, signal } = loop;
  const { limits } = configuration;
  const first = await loop.findOtherServer?.(cattleUrl);
  if (first === undefined) return undefined;
  const turn = await tellOtherServer(loop, first);
  const deadline = deadlineIn(limits.OTHER_SERVER_WAIT, clock);
  while (deadline.left() > 0) {
    await clock.sleep(Math.min(limits.OTHER_SERVER_POLL, deadline.left()), signal);
    if ((await loop.findOtherServer?.(cattleUrl)) === undefined) return undefined;
  }
  return turn;
}

/** @returns the turn, if the server refuses the keys */
async function judgeKeys(
  loop: BootstrapLoop,
  settings: AgentSettings,
  keys: CredentialsState,
  course: Course,
): Promise<Turn | undefined> {
  const { clock, configuration, log, serving } = loop;
  observeKeys(serving, keys);
  const refusal = judgeRefusal(
    keys,
    course.refusedSince,
    clock.elapsed(),
    configuration.limits.CREDENTIALS_APART,
  );
  course.refusedSince = refusal.since;
  if (keys.state === 'revoked') {
    if (refusal.isRevoked) return tellRevoked(loop, settings, keys.reason);
    return { kind: 'refused', reason: keys.reason, countsInMs: refusal.countsInMs };
  }
  if (keys.state === 'live') await tellKeysLive(loop);
  else log.warn(`the keys could not be checked: ${keys.reason}`);
  return undefined;
}

function observeNoScript({ serving }: BootstrapLoop, { cause, reason, hint }: NoScript): Turn {
  if (cause === 'server-unreachable' || cause === 'no-script') serving?.unanswered(cause, reason);
  else serving?.cannotRun(cause, reason);
  return { kind: 'nothing', reason: `nothing was run: ${reason}`, ...(hint === undefined ? {} : { hint }) };
}

function observeFailure({ serving }: BootstrapLoop, error: unknown): Turn {
  const reason = messageOf(error);
  if (error instanceof ServerUnavailableError) serving?.unanswered(unreachableCause, reason);
  else serving?.cannotRun('bootstrap-not-run', reason);
  const hint = error instanceof EntrypointError ? error.hint : undefined;
  return { kind: 'nothing', reason, ...(hint === undefined ? {} : { hint }) };
}

/** What the server requires now, for a caller that cannot wait for the next bootstrap; undefined without a whole script. */
export async function askRequiredImage(
  access: ServerAccess,
  image: string,
): Promise<RequiredImage | undefined> {
  const settings = readAgentSettings(access.configuration.environment);
  const { client } = await openConnection(access, settings.cattleUrl);
  const bootstrap = await fetchBootstrap(client, settings.cattleUrl, settings.keys);
  return bootstrap.ok ? requirementOf(bootstrap, image) : undefined;
}
