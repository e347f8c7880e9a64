import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Observed } from '../../../../../src/agent/transaction/observe.ts';
import type { ReadinessFailure } from '../../../../../src/agent/run/readiness/result.ts';
import { measureReach, reachOf, readReadyAnswer } from '../../../../../src/agent/worker/proof/reach.ts';
import type { ExecuteResult } from '../../../../../src/engine/engine.ts';
import { EngineError } from '../../../../../src/engine/errors.ts';
import { InterruptedError } from '../../../../../src/support/errors.ts';
import { runCommand } from '../../../../../src/host/processes.ts';
import type { Fault } from '../../../../support/server/stub/stub-faults.ts';
import {
  agentKeys,
  earlier,
  environmentFor,
  failureWith,
  hardened,
  legacy,
} from '../../../fakes/worker-scene.ts';
import { agentEnvironment, scene, server, stageEachTest } from './proof-stage.ts';

stageEachTest();

const notMeasured = { server: 'not-measured', keys: 'not-measured' };

describe('what an answer of `ready --json` says of the old agent', () => {
  it.each<[ReadinessFailure['check'], ReadinessFailure['fault'], string, string]>([
    ['programs', 'image', 'not-measured', 'not-measured'],
    ['server', 'way', 'silent', 'not-measured'],
    ['server', 'server', 'silent', 'not-measured'],
    ['curl', 'way', 'silent', 'not-measured'],
    ['keys', 'keys', 'answers', 'refused'],
    ['script', 'image', 'answers', 'accepted'],
    ['script', 'way', 'silent', 'accepted'],
    ['script', 'server', 'silent', 'accepted'],
  ])('%s failed by %s: server %s, keys %s', (check, fault, reached, keys) => {
    const failure = failureWith({ check, fault });
    expect(reachOf({ ready: false, failure })).toEqual({ server: reached, keys });
  });

  it('a script that is cut off is no live answer, not even as an earlier version says it', () => {
    const failure = failureWith({ check: 'script', fault: 'image', cause: 'ready-script-not-whole' });
    expect(reachOf({ ready: false, failure })).toEqual({ server: 'silent', keys: 'accepted' });
  });

  it('ready: the server answers and accepts its keys', () => {
    expect(reachOf({ ready: true })).toEqual({ server: 'answers', keys: 'accepted' });
  });

  it('not ready without a failure tells nothing', () => {
    expect(reachOf({ ready: false })).toEqual(notMeasured);
  });
});

describe('the answer is read from what a command prints', () => {
  const result = (ready: boolean): string =>
    JSON.stringify({
      version: 1,
      container: 'c',
      startedAt: 1,
      restartCount: 0,
      checkedAt: 1,
      server: 'http://server',
      ready,
      passed: [],
    });

  it.each([
    ['alone', `${result(true)}\n`],
    ['behind warnings', `WARNING: LANG is not set\n{not json}\n${result(true)}\n`],
    ['before warnings', `${result(true)}\nWARNING: the last word\n\n`],
    ['behind a JSON line of something else', `{"level":"warn"}\n${result(true)}`],
    ['twice: the last one counts', `${result(false)}\n${result(true)}\n`],
  ])('%s', (_where, stdout) => {
    expect(readReadyAnswer(stdout)).toMatchObject({ ready: true, server: 'http://server' });
  });

  it.each(['', 'run.sh: unknown command: ready\n', '{"ready":true}\n', '[]', `x${result(true)}`])(
    'nothing is made up from %j',
    (stdout) => {
      expect(readReadyAnswer(stdout)).toBeUndefined();
    },
  );
});

async function agentWith(
  labels: Readonly<Record<string, string>>,
  url = `${server.url}/v1`,
): Promise<Observed> {
  scene.add('rancher-agent', { labels, environment: environmentFor(url), image: 'rancher/agent:old' });
  return scene.observed('rancher-agent');
}

function answering(parts: Partial<ExecuteResult>): void {
  scene.onExecute = () => ({ status: 0, stdout: '', stderr: '', ...parts });
}

describe('a hardened agent', () => {
  it('is asked by `run.sh ready --json` in its own container, with bounds', async () => {
    const agent = await agentWith(hardened);
    const [details] = [...scene.containers.values()];
    if (details === undefined) throw new Error('no agent');
    answering({ status: 75, stdout: `WARNING: x\n${JSON.stringify(scene.readinessOf(details))}\n` });
    expect(await measureReach(scene.work, agent, server.url)).toEqual({
      server: 'answers',
      keys: 'accepted',
    });
    const { READY_EXEC, READY_BYTES } = scene.work.configuration.limits;
    expect(scene.executed).toMatchObject([
      {
        id: agent.id,
        command: ['/run.sh', 'ready', '--json'],
        deadlineMs: READY_EXEC,
        maxBytes: READY_BYTES,
      },
    ]);
  });

  it('that says nothing of use is not measured', async () => {
    answering({ status: 64, stdout: 'run.sh: unknown command\n' });
    expect(await measureReach(scene.work, await agentWith(hardened), server.url)).toEqual(notMeasured);
  });

  it('of an earlier version does not know `ready`: it is measured as a legacy one', async () => {
    answering({ stdout: 'whole\nwhole\n' });
    await measureReach(scene.work, await agentWith(earlier), server.url);
    expect(scene.executed.map(({ command }) => command[0])).toEqual(['sh']);
  });
});

describe('a legacy agent', () => {
  it('is measured by its own curl, and its keys by our client, never in an argument list', async () => {
    answering({ stdout: 'whole\nwhole\n' });
    const agent = await agentWith(legacy);
    expect(await measureReach(scene.work, agent, server.url)).toEqual({
      server: 'answers',
      keys: 'accepted',
    });
    const [call] = scene.executed;
    expect(call?.command.join(' ')).toContain('$CATTLE_URL/scripts/bootstrap');
    expect(JSON.stringify(scene.executed)).not.toContain(agentKeys.secretKey);
    expect(scene.lines.join('')).not.toContain(agentKeys.secretKey);
  });

  it.each([
    ['a refused connection', { status: 7, stdout: '000' }],
    ['no certificate it trusts', { status: 60, stdout: '000' }],
    ['an answer that is no whole script', { status: 0, stdout: 'not whole\nnot whole\n' }],
    ['nothing printed', { status: 0, stdout: '' }],
    ['a connection that is cut the second time', { status: 18, stdout: 'whole\n' }],
  ])('has no live answer with %s', async (_what, parts) => {
    answering(parts);
    const reach = await measureReach(scene.work, await agentWith(legacy), server.url);
    expect(reach).toEqual({ server: 'silent', keys: 'not-measured' });
  });

  it.each([126, 127, undefined])('without a shell or curl (%s) is not measured', async (status) => {
    answering({ status, stdout: 'whole\n' });
    expect(await measureReach(scene.work, await agentWith(legacy), server.url)).toEqual(notMeasured);
  });

  it('whose keys are revoked: the server answers and refuses them', async () => {
    server.behaviour.agentKeys = 'revoked';
    answering({ stdout: 'whole\nwhole\n' });
    const reach = await measureReach(scene.work, await agentWith(legacy), server.url);
    expect(reach).toEqual({ server: 'answers', keys: 'refused' });
  });

  it('whose keys cannot be tested: only they are not measured', async () => {
    server.fault('any', { status: 503, body: 'html' });
    answering({ stdout: 'whole\nwhole\n' });
    const reach = await measureReach(scene.work, await agentWith(legacy), server.url);
    expect(reach).toEqual({ server: 'answers', keys: 'not-measured' });
  });

  it('that has just created its upgrade container has had an answer: nothing is executed', async () => {
    const agent = await agentWith(legacy);
    scene.add('rancher-agent-upgrade', { createdAt: scene.clock.now() - 29_000, labels: legacy });
    expect(await measureReach(scene.work, agent, server.url)).toEqual({
      server: 'answers',
      keys: 'accepted',
    });
    expect(scene.executed).toEqual([]);
  });

  it.each([
    ['is older than ANSWER_FRESH', { labels: legacy, ageMs: 30_000 }],
    ['is unmanaged', { labels: {}, image: 'nginx:latest', ageMs: 1_000 }],
  ])('an upgrade container proves nothing when it %s', async (_why, { ageMs, ...parts }) => {
    const agent = await agentWith(legacy);
    scene.add('rancher-agent-upgrade', { ...parts, createdAt: scene.clock.now() - ageMs });
    answering({ status: 7, stdout: '000' });
    expect((await measureReach(scene.work, agent, server.url)).server).toBe('silent');
    expect(scene.executed).toHaveLength(1);
  });
});

describe('what the curl and the bash of a legacy agent say, for real', () => {
  /** Runs the command here instead of in the container. */
  beforeEach(() => {
    scene.onExecute = async ({ command: [file, ...rest] }) =>
      runCommand(file, rest, {
        deadlineMs: 10_000,
        environment: { PATH: process.env['PATH'] ?? '', CATTLE_URL: `${server.url}/v1` },
      });
  });

  async function measured(): Promise<string> {
    return (await measureReach(scene.work, await agentWith(legacy), server.url)).server;
  }

  it('a whole script is a live answer', async () => {
    expect(await measured()).toBe('answers');
  });

  it.each<readonly [string, Fault]>([
    ['a script without its last line', { text: '#!/bin/bash\necho hal' }],
    ['a script that no bash can read', { text: '#!/bin/bash\nif true; then\n' }],
    ['a web page', 'html200'],
    ['JSON', { text: '{"type":"collection"}\n' }],
    ['503', { status: 503 }],
    ['a cut connection', 'truncate'],
  ])('%s is none', async (_what, fault) => {
    server.fault('bootstrap', fault);
    expect(await measured()).toBe('silent');
  });

  it('a page the second time: its answers differ', async () => {
    const answers = ['#!/bin/bash\ntrue\n', '<html>'];
    const turns = createServer((_request, response) => response.end(answers.shift()));
    turns.listen(0, '127.0.0.1');
    await once(turns, 'listening');
    const url = `http://127.0.0.1:${(turns.address() as AddressInfo).port}`;
    scene.onExecute = async ({ command: [file, ...rest] }) =>
      runCommand(file, rest, {
        deadlineMs: 10_000,
        environment: { PATH: process.env['PATH'] ?? '', CATTLE_URL: `${url}/v1` },
      });
    expect(await measureReach(scene.work, await agentWith(legacy, `${url}/v1`), url)).toMatchObject({
      server: 'differs',
    });
    turns.close();
  });
});

describe('nothing is measured, and nothing executed, where', () => {
  it('there is no agent', async () => {
    expect(await measureReach(scene.work, undefined, server.url)).toEqual(notMeasured);
  });

  it('it belongs to another server', async () => {
    const agent = await agentWith(hardened, 'http://another.example:8080/v1');
    expect(await measureReach(scene.work, agent, server.url)).toEqual(notMeasured);
    expect(scene.executed).toEqual([]);
  });

  it('it does not run', async () => {
    scene.add('rancher-agent', { environment: agentEnvironment(), state: 'exited' });
    const agent = await scene.observed('rancher-agent');
    expect(await measureReach(scene.work, agent, server.url)).toEqual(notMeasured);
    expect(scene.executed).toEqual([]);
  });
});

it('an engine that refuses the command is no reason to blame anybody, and the log says why', async () => {
  scene.onExecute = () => {
    throw new EngineError('exec', 500, 'rpc error: code = 13');
  };
  expect(await measureReach(scene.work, await agentWith(legacy), server.url)).toEqual(notMeasured);
  expect(scene.lines.join('')).toMatch(/WARN.*could not measure what rancher-agent reaches.*rpc error/);
});

it('a worker that is told to stop meanwhile stops', async () => {
  const reason = new InterruptedError('SIGTERM');
  scene.onExecute = () => {
    scene.stop.abort(reason);
    throw new Error('aborted');
  };
  await expect(measureReach(scene.work, await agentWith(hardened), server.url)).rejects.toBe(reason);
});
