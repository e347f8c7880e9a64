/** An agent whose bootstrap loop is the real one, and whose server, processes and time are not. */
import { keepBootstrapRunning, type BootstrapLoop } from '../../../src/agent/run/bootstrap/bootstrap-loop.ts';
import type { ChildExit } from '../../../src/agent/run/bootstrap/child.ts';
import type { Outcome } from '../../../src/agent/report/outcome.ts';
import { selectProfile } from '../../../src/agent/identity/profile.ts';
import type { Stamps } from '../../../src/agent/run/bootstrap/exit-by-design.ts';
import type { ScriptRunner, StagedBefore } from '../../../src/agent/run/bootstrap/loop-parts.ts';
import type { ServingObserver } from '../../../src/agent/run/serving/record.ts';
import type { HttpRequest, HttpResponse } from '../../../src/control-plane/http/message.ts';
import type { RequiredImage } from '../../../src/control-plane/required-image.ts';
import { readConfiguration } from '../../../src/support/configuration.ts';
import { ServerUnavailableError } from '../../../src/support/errors.ts';
import { silentLog } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';
import type { SimulatedTime } from './simulated-time.ts';

export interface SimulatedAgent {
  readonly time: SimulatedTime;
  /** The seed of its random numbers. */
  readonly number: number;
  readonly answer: (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;
  /** A run of the bootstrap: sleeps for as long as it lasts. */
  readonly run?: () => Promise<ChildExit>;
  readonly stage?: ScriptRunner['stage'];
  readonly readStamps?: () => Stamps;
  readonly environment?: Readonly<Record<string, string>>;
  readonly serving?: ServingObserver;
  readonly staged?: StagedBefore;
  readonly required?: RequiredImage[];
  readonly ended?: Outcome[];
  readonly findOtherServer?: NonNullable<BootstrapLoop['findOtherServer']>;
}

export function startSimulatedAgent(agent: SimulatedAgent): void {
  const { time, number, answer: serve, ended = [], required = [], serving, staged, findOtherServer } = agent;
  const configuration = readConfiguration(
    {
      CATTLE_URL: 'http://server/v1',
      CATTLE_ACCESS_KEY: 'AGENTKEY',
      CATTLE_SECRET_KEY: 'agent-secret-key',
      ...agent.environment,
    },
    'host',
  );
  const { signal } = new AbortController();
  const basis = {
    configuration,
    clock: time.clockOf(number),
    log: silentLog,
    secrets: createSecrets(),
    signal,
  };
  const loop: BootstrapLoop = {
    ...basis,
    profile: selectProfile('rancher-1.2', {}),
    reporter: {
      passing: () => undefined,
      working: () => Promise.resolve(),
      waiting: () => Promise.resolve(),
      ended: (outcome) => Promise.resolve(void ended.push(outcome)),
      readBefore: () => Promise.resolve(undefined),
    },
    scripts: simulatedScripts(agent),
    onBootstrap: ({ requiredImage }) => required.push(requiredImage),
    concludeWork: () => Promise.resolve(),
    open: () =>
      Promise.resolve({
        ...basis,
        limits: configuration.limits,
        client: { request: (request) => Promise.resolve(serve(request)) },
      }),
    ...(serving === undefined ? {} : { serving }),
    ...(staged === undefined ? {} : { staged }),
    ...(findOtherServer === undefined ? {} : { findOtherServer }),
  };
  void keepBootstrapRunning(loop);
}

function simulatedScripts({ run, stage, readStamps }: SimulatedAgent): ScriptRunner {
  const endless = async (): Promise<ChildExit> => new Promise(() => undefined);
  return {
    stage: stage ?? (() => Promise.resolve(simulatedScript())),
    run: run ?? endless,
    become: () => {
      throw new Error('became the script');
    },
    readStamps: () => Promise.resolve(readStamps?.() ?? []),
  };
}

/** A staged script; `onDispose` is called when it is removed. */
export function simulatedScript(onDispose?: () => void): StagedBefore['script'] {
  return {
    file: '/tmp/bootstrap.sh',
    complaint: undefined,
    dispose: () => Promise.resolve(onDispose?.()),
  };
}

export function jsonAnswer(status: number, body: unknown): HttpResponse {
  return textAnswer(status, JSON.stringify(body));
}

export function textAnswer(status: number, text: string): HttpResponse {
  return { status, headers: {}, text, url: 'http://server/v1' };
}

/** What the server answers while all is well. */
export function healthyAnswer(request: HttpRequest, image = 'rancher/agent:v1.2.11'): HttpResponse {
  return request.url.endsWith('/scripts/bootstrap')
    ? textAnswer(200, `#!/bin/bash\nREQUIRED_IMAGE="${image}"\nexit 0\n`)
    : jsonAnswer(200, { id: 'configContent', type: 'schema' });
}

/** The API's own words for keys that it does not know. */
export const refusedKeys = jsonAnswer(401, {
  type: 'error',
  status: 401,
  code: 'Unauthorized',
  message: 'Unauthorized',
});

/** A server on whose port nothing listens. */
export function unreachable(): never {
  throw new ServerUnavailableError('GET http://server/v1: connection refused');
}
