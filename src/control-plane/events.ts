import { messageOf } from '../support/errors.ts';
import { printable } from '../support/printable.ts';
import { enforceAuthentication, type Connection } from './http/connection.ts';
import type { Credentials, HttpResponse } from './http/message.ts';
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
  /** PastureStack may know an agent only without our header (control-plane §8): a refusal is then asked about again. */
  readonly mayNeedFallback?: boolean;
}

export type ReportOutcome =
  | { readonly sent: true }
  /** `final`: the server refuses such reports, and will again. */
  | { readonly sent: false; readonly final: boolean; readonly reason: string };

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
  connection: Pick<Connection, 'client' | 'secrets'>,
  report: StateReport,
): Promise<ReportOutcome> {
  try {
    // Without the header dead keys would create the event as admin, in no environment.
    const enforced = await send(connection, report, enforceAuthentication);
    const isUnknown = enforced.status === 401 && report.mayNeedFallback === true;
    return judge(isUnknown ? await send(connection, report, {}) : enforced);
  } catch (error) {
    return { sent: false, final: false, reason: messageOf(error) };
  }
}

async function send(
  { client, secrets }: Pick<Connection, 'client' | 'secrets'>,
  { cattleUrl, keys, hostUuid, text }: StateReport,
  headers: Readonly<Record<string, string>>,
): Promise<HttpResponse> {
  return await client.request({
    method: 'POST',
    url: eventsUrl(cattleUrl),
    credentials: keys,
    headers,
    body: { externalId: hostUuid, eventType: composeEventType(secrets.scrub(text)) },
  });
}

function judge({ status }: HttpResponse): ReportOutcome {
  if (status >= 200 && status < 300) return { sent: true };
  const final = status >= 400 && status < 500 && status !== 408 && status !== 429;
  return { sent: false, final, reason: `the server answers with status ${status}` };
}

/**
 * The event's type. The prefix keeps it apart from `host.evacuate` and `scheduler.update`, the only two types that do
 * something; one line, at most 255 characters.
 */
export function composeEventType(text: string): string {
  const line = printable(text).replace(/ +/g, ' ').trim();
  // A character cut in half at the end would not be valid text.
  return `agent.error: ${line}`.slice(0, longestEventType).replace(/[\uD800-\uDBFF]$/, '');
}

/** The event exists below `/v2-beta` only, whatever version `CATTLE_URL` names. */
function eventsUrl(cattleUrl: string): string {
  return joinUrl(cattleUrl.replace(/\/(v1|v2-beta)(\/.*)?$/, ''), 'v2-beta/externalhostevents');
}
