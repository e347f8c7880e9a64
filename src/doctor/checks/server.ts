import { formatDuration } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { fine, unseen, type Finding } from '../finding.ts';
import type { HostSnapshot, ServerSnapshot } from '../snapshot.ts';

/** Whether the server answers, and still knows the agent's keys. */
export function checkServer({ server }: HostSnapshot): readonly Finding[] {
  if (!server.known) return [unseen('server', server)];
  const { url, answer } = server.value;
  if (answer.kind === 'none') {
    return [
      {
        check: 'server',
        level: 'unhealthy',
        text: `${url} does not answer: ${answer.reason}`,
        cause: 'server-unavailable',
        advice:
          'Your containers keep running; the agent reconnects automatically. Check address, firewall and proxy: see the runbook, "The server cannot be reached".',
      },
    ];
  }
  return [describeKeys(url, answer)];
}

/** Compares the clock of this host with the server's. No line if the server did not report its time. */
export function checkClock({ server }: HostSnapshot, limits: Limits): readonly Finding[] {
  if (!server.known || server.value.answer.kind === 'none') return [];
  const { skewMs } = server.value.answer;
  if (skewMs === undefined) return [];
  const figures = { skewMs: Math.round(skewMs) };
  const off = formatDuration(Math.abs(skewMs));
  // The header has no fractions of a second.
  if (Math.abs(skewMs) < limits.CLOCK_SKEW)
    return [
      fine(
        'clock',
        Math.abs(skewMs) < limits.CLOCK_SAME ? "the same as the server's" : `${off} off the server's`,
        figures,
      ),
    ];
  return [
    {
      check: 'clock',
      level: 'warning',
      text: `${off} ${skewMs > 0 ? "behind the server's" : "ahead of the server's"}`,
      cause: 'clock-skew',
      advice:
        'Ages, pauses, tokens and certificates depend on it: start ntpd, chronyd or systemd-timesyncd on both.',
      figures,
    },
  ];
}

function describeKeys(url: string, answer: Extract<ServerSnapshot['answer'], { kind: 'answered' }>): Finding {
  const { credentials, tookMs } = answer;
  const figures = { credentials: credentials.state, tookMs: Math.round(tookMs) };
  switch (credentials.state) {
    case 'live':
      return fine(
        'server',
        `${url} answers in ${formatDuration(tookMs)} and knows the agent's keys`,
        figures,
      );
    case 'unknown':
      return {
        check: 'server',
        level: 'warning',
        text: `${url}: ${credentials.reason}`,
        cause: 'server-answer',
        advice:
          'Perhaps a proxy or a maintenance page answers in the place of the server: check the address, and the proxies in front of it.',
        figures,
      };
    case 'revoked':
      return {
        check: 'server',
        level: 'unhealthy',
        text: `${url} does not know the agent's keys any more: ${credentials.reason}`,
        cause: 'keys-revoked',
        advice: 'Register the host again, with the command of "Add Host"; then docker restart rancher-agent.',
        figures,
      };
  }
}
