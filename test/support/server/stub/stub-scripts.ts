import type { Behaviour } from './stub-behaviour.ts';
import { composeWholeBootstrap } from './stub-bootstrap-whole.ts';
import { composeBootstrap } from './stub-bootstrap.ts';
import { errorDocument, htmlPage } from './stub-faults.ts';
import type { StubState } from './stub-state.ts';
import { error, route, type StubAnswer, type StubRequest } from './stub-answer.ts';

/* The scripts of the server: the one that registers a host, and the bootstrap of an agent. */

export function answerScript(state: StubState, { path, base, clientIp }: StubRequest): StubAnswer {
  const { behaviour, token } = state;
  const wanted = decodeURIComponent(path.split('/').at(-1) ?? '');
  if (wanted !== token || behaviour.token === 'bad') return error(404, 'Not Found');
  const version = route.exec(path)?.[1] ?? 'v1';
  const url = behaviour.apiHost === undefined ? `${base}/${version}` : `${behaviour.apiHost}/v1`;
  const script = composeScript(token, url, behaviour.detectedIp ?? clientIp);
  return { status: 200, ...spoilScript(behaviour.script, script) };
}

export function composeScript(token: string, url: string, ip: string): string {
  return `#!/bin/sh

export CATTLE_REGISTRATION_ACCESS_KEY="registrationToken"
export CATTLE_REGISTRATION_SECRET_KEY="${token}"
export CATTLE_URL="${url}"
export DETECTED_CATTLE_AGENT_IP="${ip}"
`;
}

/** The command of a hostile script: it leaves a mark in the container that runs it, and on the host. */
export const injected = 'touch /tmp/stub-injected /var/lib/rancher/stub-injected';

export function spoilScript(how: Behaviour['script'], script: string): { body: string; type: string } {
  const spoiled: Record<Behaviour['script'], string> = {
    ok: script,
    'sh-in-html': `<html><body>x!/bin/sh\n${script}${injected}\n</body></html>\n`,
    inject: script.replace(/(DETECTED_CATTLE_AGENT_IP=").*"/, `$1$(${injected})\`${injected}\`"`),
    crlf: script.replaceAll('\n', '\r\n'),
    'extra-line': `${script}${injected}\n`,
    'missing-url': script.replace(/export CATTLE_URL=.*\n/, ''),
    truncated: script.slice(0, -20),
  };
  return { body: spoiled[how], type: how === 'sh-in-html' ? 'text/html' : 'text/plain' };
}

export function answerBootstrap(state: StubState, { clientIp }: StubRequest): StubAnswer {
  const { behaviour } = state;
  const images = behaviour.requiredImages;
  const image = images[state.bootstrapCount++ % Math.max(1, images.length)] ?? '';
  const compose = behaviour.bootstrapShape === 'short' ? composeBootstrap : composeWholeBootstrap;
  const script = compose(behaviour, image, clientIp);
  const bodies: Record<Behaviour['bootstrap'], string> = {
    ok: script,
    empty: '',
    json: JSON.stringify(errorDocument(500, 'Internal Server Error')),
    html: htmlPage,
    truncated: script.slice(0, Math.floor(script.length / 2)).trimEnd(),
    'no-shebang': script.replace('#!/bin/bash\n', ''),
  };
  const type = behaviour.bootstrap === 'html' ? 'text/html' : 'text/plain';
  return { status: 200, body: bodies[behaviour.bootstrap], type };
}
