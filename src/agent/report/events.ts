import { isReportDue, reportState, type ReportOutcome } from '../../control-plane/events.ts';
import { readSmallFile } from '../../host/files/read.ts';
import { readReported, writeReported, type Reported } from '../../host/files/reported.ts';
import { readStatus, type Asker, type HostStatus } from '../../host/files/status.ts';
import { steadyTime } from '../../support/clock.ts';
import type { Environment, Paths } from '../../support/configuration.ts';
import { messageOf } from '../../support/errors.ts';
import { revokedCause } from '../run/bootstrap/bootstrap-loop.ts';
import type { Profile } from '../identity/profile.ts';
import { openConnection, readAgentSettings, type ServerAccess } from '../../control-plane/open-connection.ts';

export interface ErrorEvents extends ServerAccess {
  readonly profile: Profile;
}

/**
 * Tells the server of a state that needs a person: a line in its audit log (control-plane §6.2 B). Workers write the
 * state, the agent has the keys: so it watches the file. At most one line per error and per EVENT_GAP; nothing waits for
 * it, and nothing comes of its failure. Ends only when the signal is aborted.
 */
export async function watchForErrors(watch: ErrorEvents): Promise<never> {
  const { clock, log, signal } = watch;
  const { paths, limits } = watch.configuration;
  let last = await readReported(paths);
  const now = steadyTime(clock);
  for (;;) {
    await clock.sleep(limits.EVENT_POLL, signal);
    const reading = await readStatus(paths);
    if (reading.kind !== 'valid') continue;
    const { status } = reading;
    if (status.state === 'ok' && last !== undefined && last.text !== '') {
      last = await remember(watch, { ...last, text: '' });
    }
    const text = describeTrouble(status);
    if (text === undefined || !isReportDue(last, keyOf(text), now(), limits.EVENT_GAP)) continue;
    const outcome = await report(watch, text);
    if (outcome.sent) log.info('the state of this host was reported to the server', { state: status.state });
    else log.debug('the state of this host was not reported to the server', { reason: outcome.reason });
    // What failed is tried again, as rarely as anything else.
    const isSettled = outcome.sent || outcome.final;
    last = isSettled
      ? await remember(watch, { text: keyOf(text), at: now() })
      : { text: last?.text ?? '', at: now() };
  }
}

/** What is worth a line. Revoked keys are not: the server, which revoked them, takes no report with them. */
export function describeTrouble({
  state,
  cause,
  summary,
  originalMessage,
  until,
  askedBy,
}: HostStatus): string | undefined {
  if (state !== 'failed' && state !== 'degraded') return undefined;
  if (cause === revokedCause) return undefined;
  const asked = askedBy === undefined || until === 'serving' ? '' : `; asked for by ${askerNames[askedBy]}`;
  return `${state}: ${summary}${originalMessage === undefined ? '' : ` (${originalMessage})`}${asked}`;
}

const askerNames: Readonly<Record<Asker, string>> = {
  person: 'a person',
  server: 'the server',
  automation: 'automation',
};

/** What makes an error another one: its next try has another container's id, and has restarted another number of times. */
export function keyOf(text: string): string {
  return text.replace(/\b[0-9a-f]{12,64}\b/g, 'ID').replace(/\brestarted \d+ times/g, 'restarted');
}

/** A host whose folder cannot be written remembers as long as this process lives. */
async function remember({ configuration, log }: ErrorEvents, reported: Reported): Promise<Reported> {
  try {
    await writeReported(configuration.paths, reported);
  } catch (error) {
    log.debug('cannot keep on this host what was reported', { error: messageOf(error) });
  }
  return reported;
}

async function report(watch: ErrorEvents, text: string): Promise<ReportOutcome> {
  const { environment, paths } = watch.configuration;
  try {
    const settings = readAgentSettings(environment);
    const connection = await openConnection(watch, settings.cattleUrl, { tools: false });
    return await reportState(connection, {
      ...settings,
      hostUuid: await readHostUuid(environment, paths),
      text,
      mayNeedFallback: watch.profile.name === 'pasturestack',
    });
  } catch (error) {
    watch.signal.throwIfAborted();
    return { sent: false, final: false, reason: messageOf(error) };
  }
}

/** By which the server knows the host (control-plane §5.4); an agent that never ran has none yet. */
async function readHostUuid(environment: Environment, paths: Paths): Promise<string> {
  const told = environment['CATTLE_DOCKER_UUID'];
  if (told !== undefined && told !== '') return told;
  const kept = await readSmallFile(`${paths.state}/.docker_uuid`).catch(() => undefined);
  return /^[\w-]{1,128}$/.exec(kept?.trim() ?? '')?.[0] ?? 'unknown';
}
