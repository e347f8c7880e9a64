import { messageOf } from '../support/errors.ts';
import { enforceAuthentication, type Connection } from './connection.ts';
import type { Credentials } from './client.ts';
import { joinUrl } from './url.ts';

/** The last report, as the caller keeps it. */
export interface LastReport {
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface StateReport {
  readonly cattleUrl: string;
  readonly keys: Credentials;
  /** What other records of the host are named by, e.g. the content of `.docker_uuid`. */
  readonly hostUuid: string;
  /** `failed: …` or `degraded: …`. */
  readonly text: string;
}

export type ReportOutcome = { readonly sent: true } | { readonly sent: false; readonly reason: string };

/** The column's length (control-plane §6.2 B). */
const longestEventType = 255;

/**
 * Whether a state is worth a report: once for each distinct text, and never two within `gapMs`, so that a host that
 * flaps does not fill the audit log (control-plane §6.2, verdict).
 */
export function isReportDue(last: LastReport | undefined, text: string, now: number, gapMs: number): boolean {
  if (last === undefined) return true;
  // A clock that was set back must not silence the host for long.
  const rested = now < last.at || now - last.at >= gapMs;
  return rested && text !== last.text;
}

/**
 * Leaves a degraded or failed state in the server's audit log, by an external host event of a type that does nothing
 * (control-plane §6.2 B: cattle ≥ 0.177.1). Older servers answer 404. Never fatal: whatever goes wrong is a reason in
 * the result.
 */
export async function reportState(
  { client, secrets }: Pick<Connection, 'client' | 'secrets'>,
  { cattleUrl, keys, hostUuid, text }: StateReport,
): Promise<ReportOutcome> {
  try {
    const response = await client.request({
      method: 'POST',
      url: eventsUrl(cattleUrl),
      credentials: keys,
      // Without it dead keys would create the event as admin, in no environment.
      headers: enforceAuthentication,
      body: { externalId: hostUuid, eventType: composeEventType(secrets.scrub(text)) },
    });
    if (response.status >= 200 && response.status < 300) return { sent: true };
    return { sent: false, reason: `the server answers with status ${response.status}` };
  } catch (error) {
    return { sent: false, reason: messageOf(error) };
  }
}

/**
 * The event's type. The prefix keeps it apart from `host.evacuate` and `scheduler.update`, the only two types that do
 * something; one line, at most 255 characters.
 */
export function composeEventType(text: string): string {
  const line = text.replace(/[\p{Cc}\s]+/gu, ' ').trim();
  // A character cut in half at the end would not be valid text.
  return `agent.error: ${line}`.slice(0, longestEventType).replace(/[\uD800-\uDBFF]$/, '');
}

/** The event exists below `/v2-beta` only, whatever version `CATTLE_URL` names. */
function eventsUrl(cattleUrl: string): string {
  return joinUrl(cattleUrl.replace(/\/(v1|v2-beta)(\/.*)?$/, ''), 'v2-beta/externalhostevents');
}
