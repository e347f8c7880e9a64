import { describeWord, isAccepted } from '../../agent/origin/rule.ts';
import { isPlainHttp, plainHttpHint, plainHttpRisk } from '../../control-plane/transport.ts';
import { requireHttpsVariable, tlsTrustVariable } from '../../support/configuration.ts';
import type { KeptServer } from '../../host/files/kept-server.ts';
import { fine, type Finding } from '../finding.ts';
import type { HostSnapshot } from '../snapshot.ts';
import { activeRoles } from './agents.ts';

type Snapshot = Pick<HostSnapshot, 'transport' | 'server' | 'agents'>;

/** Whether the agent's keys go to the server that this host belongs to, and whether anybody between can read them. */
export function checkTransport(snapshot: Snapshot): readonly Finding[] {
  const { transport, server } = snapshot;
  const kept = transport.known ? transport.value.kept : undefined;
  const origin = usedOrigin(snapshot) ?? kept?.origin;
  if (origin === undefined) return [];
  const belonging = kept === undefined || isAccepted(kept, origin) ? [] : [describeOther(origin, kept)];
  const rule =
    (server.known ? server.value.https : undefined) ?? (transport.known ? transport.value.https : 'unset');
  const isStrict = server.known && server.value.strictTrust === true;
  return [...belonging, describeScheme(origin, rule, isStrict)];
}

function describeScheme(origin: string, rule: 'required' | 'accepted' | 'unset', isStrict: boolean): Finding {
  const figures = { https: !isPlainHttp(origin) };
  if (!isPlainHttp(origin)) {
    const trust = isStrict ? `; only ca.crt is trusted (${tlsTrustVariable})` : '';
    return fine('transport', `https${trust}`, figures);
  }
  if (rule === 'accepted')
    return fine('transport', `plain http, accepted by ${requireHttpsVariable}=false`, figures);
  const isRefused = rule === 'required';
  return {
    check: 'transport',
    level: isRefused ? 'unhealthy' : 'warning',
    text: isRefused
      ? `${requireHttpsVariable} is set, and ${origin} is plain http: the agent runs no bootstrap`
      : `${origin} is ${plainHttpRisk}`,
    cause: 'plain-http',
    advice: `${plainHttpHint.charAt(0).toUpperCase()}${plainHttpHint.slice(1)}.`,
    figures,
  };
}

function describeOther(origin: string, kept: KeptServer): Finding {
  return {
    check: 'transport',
    level: 'unhealthy',
    text: `the agent's keys are for ${origin}, and this host belongs to ${kept.origin}: ${describeWord(kept.by)}`,
    cause: 'other-server',
    advice: `If ${origin} is right: docker run … IMAGE upgrade --server ${origin}. Else register the host again at ${kept.origin}.`,
    figures: { origin, kept: kept.origin },
  };
}

/** What the active agent uses: as it was asked, or as its container says. */
function usedOrigin({ server, agents }: Snapshot): string | undefined {
  const active = agents.known
    ? agents.value.find(
        ({ role, managed, state }) => managed && activeRoles.includes(role) && state === 'running',
      )
    : undefined;
  const url = server.known ? server.value.url : active?.server;
  return url === undefined ? undefined : URL.parse(url)?.origin;
}
