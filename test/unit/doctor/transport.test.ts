import { describe, expect, it } from 'vitest';
import { renderStatus } from '../../../src/cli/render-status.ts';
import { checkTransport } from '../../../src/doctor/checks/transport.ts';
import type { HostSnapshot, ServerSnapshot, TransportSnapshot } from '../../../src/doctor/snapshot.ts';
import { buildStatusReport } from '../../../src/doctor/status-report.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { agent, diagnosisOf, host, known, now, unknown } from '../fakes/healthy-host.ts';

const plain = 'http://server:8080';
const since = new Date(now).toISOString();

function asked(url: string, parts: Partial<ServerSnapshot> = {}): HostSnapshot['server'] {
  const answer = { kind: 'answered', credentials: { state: 'live' }, skewMs: 0, tookMs: 1 } as const;
  return known({ url: `${url}/v1`, answer, ...parts });
}

function kept(origin: string | undefined, parts: Partial<TransportSnapshot> = {}): HostSnapshot['transport'] {
  return known({
    kept: origin === undefined ? undefined : { origin, since, by: 'registration' },
    https: 'unset',
    ...parts,
  });
}

describe('the check transport', () => {
  it('is fine with https, and says when only ca.crt is trusted', () => {
    expect(checkTransport(host())).toMatchObject([{ check: 'transport', level: 'ok', text: 'https' }]);
    const server = asked('https://rancher.example', { strictTrust: true });
    expect(checkTransport(host({ server }))[0]?.text).toContain('only ca.crt is trusted');
  });

  it('warns of plain http, with what it costs and what to do', () => {
    const diagnosis = diagnosisOf({ server: asked(plain), transport: kept(plain) });
    expect(diagnosis).toMatchObject({ verdict: 'warnings', causes: ['plain-http'] });
    const finding = diagnosis.findings.find(({ check }) => check === 'transport');
    expect(finding?.text).toMatch(/plain http: .*the agent keys.*runs as root/);
    expect(finding?.advice).toContain('AGENT_REQUIRE_HTTPS=false in agent.conf accepts plain http');
  });

  it('is fine with plain http that a person accepts, in agent.conf or at the registration', () => {
    const transport = kept(plain, { https: 'accepted' });
    const byFile = diagnosisOf({
      server: unknown('no'),
      agents: known([agent({ server: `${plain}/v1` })]),
      transport,
    });
    expect(byFile.causes).toEqual([]);
    const server = asked(plain, { https: 'accepted' });
    expect(diagnosisOf({ server, transport: kept(plain) })).toMatchObject({ verdict: 'healthy' });
  });

  it('is unhealthy with plain http where AGENT_REQUIRE_HTTPS keeps the agent from it', () => {
    const server = asked(plain, { https: 'required' });
    expect(checkTransport(host({ server, transport: kept(plain) }))).toMatchObject([
      { level: 'unhealthy', cause: 'plain-http' },
    ]);
  });

  it('knows the server from the agent’s container, or from the host alone, and says nothing without any', () => {
    const server = unknown('not asked');
    const agents = known([agent({ server: `${plain}/v1` })]);
    expect(checkTransport(host({ server, agents, transport: unknown('no') }))).toMatchObject([
      { level: 'warning' },
    ]);
    expect(checkTransport(host({ server, agents: known([]), transport: kept(plain) }))).toMatchObject([
      { level: 'warning' },
    ]);
    expect(checkTransport(host({ server, agents: known([]), transport: kept(undefined) }))).toEqual([]);
  });

  it('is unhealthy when the keys of the agent are for another server than the host’s', () => {
    const diagnosis = diagnosisOf({
      server: asked('https://elsewhere.example'),
      transport: kept('https://rancher.example'),
    });
    expect(diagnosis).toMatchObject({ verdict: 'unhealthy', causes: ['other-server'] });
    const finding = diagnosis.findings.find(({ cause }) => cause === 'other-server');
    expect(finding?.advice).toContain('upgrade --server https://elsewhere.example');
    // While a registration moves the host, both count.
    const moving = kept(undefined, {
      kept: {
        origin: 'https://rancher.example',
        since,
        by: 'registration',
        before: 'https://elsewhere.example',
      },
    });
    expect(diagnosisOf({ server: asked('https://elsewhere.example'), transport: moving }).causes).toEqual([]);
  });
});

it.each([
  ['warns of plain http', kept(plain), /server +WARNING: http:\/\/server:8080 is plain http: anybody/],
  [
    'names what a person accepts',
    kept(plain, { https: 'accepted' }),
    /server +http:\/\/server:8080 \(plain http, accepted\)/,
  ],
  ['names the server of https', kept('https://rancher.example'), /server +https:\/\/rancher\.example\n/],
  ['knows it from the agent’s record as well', kept(undefined), /server +https:\/\/rancher\.example\n/],
  ['leaves the row out where nothing is known', unknown('no folder'), /^(?!.*\nserver )/s],
])('status %s', (_title, transport, expected) => {
  const report = buildStatusReport(host({ transport }), defaultLimits);
  expect(renderStatus(report, now, { columns: 200, colour: false })).toMatch(expected);
});
