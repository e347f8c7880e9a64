import type { BootstrapScript } from '../../../../../src/control-plane/bootstrap.ts';
import { readRequiredImage } from '../../../../../src/control-plane/required-image.ts';
import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../../../../src/agent/report/outcome.ts';
import type { ScriptRunner } from '../../../../../src/agent/run/bootstrap/loop-parts.ts';
import type { ServingObserver } from '../../../../../src/agent/run/serving/record.ts';
import type { RequiredImage } from '../../../../../src/control-plane/required-image.ts';
import { OtherServerError } from '../../../../../src/agent/origin/rule.ts';
import { HostFolderUnwritableError, NoBashError } from '../../../../../src/host/errors.ts';
import {
  healthyAnswer,
  refusedKeys,
  simulatedScript,
  startSimulatedAgent,
  textAnswer,
  unreachable,
  type SimulatedAgent,
} from '../../../../support/simulation/simulated-agent.ts';
import { SimulatedTime } from '../../../../support/simulation/simulated-time.ts';

const second = 1_000;
const minute = 60 * second;

/** Notes what it is told, without the messages. */
function recorder(): { readonly told: string[]; readonly serving: ServingObserver } {
  const told: string[] = [];
  return {
    told,
    serving: {
      answered: () => told.push('answered'),
      unanswered: (cause) => told.push(`unanswered ${cause}`),
      began: () => told.push('began'),
      exited: ({ status, signal, ms, byDesign }) =>
        told.push(`exited ${String(status ?? signal)} ${ms / second} s${byDesign ? ' by design' : ''}`),
      cannotRun: (cause) => told.push(`cannotRun ${cause}`),
      becameUnknown: (cause) => told.push(`becameUnknown ${cause}`),
    },
  };
}

/** Lets an agent run for a while. @returns what it asked for, and what the observer was told */
async function observe(forMs: number, agent: Partial<SimulatedAgent> & { readonly life?: number } = {}) {
  const time = new SimulatedTime();
  const { told, serving } = recorder();
  const required: RequiredImage[] = [];
  const ended: Outcome[] = [];
  const requests: { readonly path: string; readonly at: number }[] = [];
  const { answer = healthyAnswer, life, ...rest } = agent;
  startSimulatedAgent({
    time,
    number: 5,
    serving,
    required,
    ended,
    ...(life === undefined
      ? {}
      : {
          run: async () => {
            await time.sleep(life);
            return { status: 0, signal: null };
          },
        }),
    ...rest,
    answer: (request) => {
      requests.push({ path: request.url.replace(/^.*\//, ''), at: time.now });
      return answer(request);
    },
  });
  await time.passUntil(forMs);
  return { told, required, ended, requests };
}

describe('an agent whose keys are for another server than the one that its host belongs to', () => {
  const refusal = new OtherServerError('the keys of rancher-agent are for http://b', {
    hint: 'upgrade --server',
  });

  it('asks no server and runs nothing, says so, and goes on within seconds of a person’s word', async () => {
    let reads = 0;
    const findOtherServer = async () => Promise.resolve(++reads <= 30 ? refusal : undefined);
    const { told, ended, requests } = await observe(70 * second, { findOtherServer });
    expect(told.slice(0, 3)).toEqual(['cannotRun other-server', 'answered', 'began']);
    expect(ended[0]).toMatchObject({
      state: 'failed',
      cause: 'other-server',
      exitCode: 78,
      hint: 'upgrade --server',
    });
    expect(ended).toHaveLength(1);
    expect(requests[0]?.at).toBe(60 * second);
  });

  it('never ends: it says so again after a while', async () => {
    const findOtherServer = async () => Promise.resolve(refusal);
    const { ended, requests } = await observe(60 * minute, { findOtherServer });
    expect(requests).toEqual([]);
    expect(ended.length).toBeGreaterThan(3);
    expect(ended.length).toBeLessThan(7);
  });
});

describe('a bootstrap that runs for ever', () => {
  it.each([
    ['is asked for once while it holds a connection', false, 1],
    ['that holds no connection still follows the image that the server requires', true, 12],
  ])('%s', async (_what, isInDoubt, most) => {
    const { serving } = recorder();
    const { required } = await observe(60 * minute, {
      life: 600 * minute,
      serving: { ...serving, isInDoubt: () => isInDoubt },
    });
    expect(required.length).toBeGreaterThanOrEqual(isInDoubt ? most - 2 : 1);
    expect(required.length).toBeLessThanOrEqual(most + 2);
  });
});

describe('what the loop reports to its observer', () => {
  it('is an answer, a start and an exit for each connection', async () => {
    const { told } = await observe(60 * second, { life: 30 * second });
    const once = ['answered', 'began', 'exited 0 30 s by design'];
    expect(told).toEqual([...once, 'answered', 'began']);
  });

  it.each<[string, SimulatedAgent['answer'], readonly string[]]>([
    ['the server is away', unreachable, ['keys', 'script'].map(() => 'unanswered server-unreachable')],
    ['the keys are refused once', () => refusedKeys, ['unanswered keys-refused']],
    [
      'a web page comes instead of the script',
      (request) =>
        request.url.endsWith('bootstrap') ? textAnswer(200, '<html></html>') : healthyAnswer(request),
      ['answered', 'unanswered no-script'],
    ],
    [
      'the script sets the image in a way that is not understood',
      (request) =>
        request.url.endsWith('bootstrap')
          ? textAnswer(200, '#!/bin/bash\nread REQUIRED_IMAGE\n')
          : healthyAnswer(request),
      ['answered', 'cannotRun script-not-understood'],
    ],
  ])('when %s', async (_title, answer, expected) => {
    const { told } = await observe(second, { answer });
    expect(told).toEqual(expected);
  });

  it('is that the keys are revoked, when they are refused again half a minute later', async () => {
    const { told, ended } = await observe(40 * second, { answer: () => refusedKeys });
    expect(told.at(-1)).toBe('unanswered keys-revoked');
    expect(told.filter((line) => line === 'unanswered keys-revoked')).toHaveLength(1);
    expect(ended).toHaveLength(1);
  });

  it('is an exit without a status when the process could not be started', async () => {
    const run = () => Promise.reject(new Error('spawn bash EAGAIN'));
    const { told } = await observe(second, { run });
    expect(told).toEqual(['answered', 'began', 'exited null 0 s', 'cannotRun bootstrap-not-run']);
  });

  it('is that nobody observes it any more, before the script takes the place of the process', async () => {
    const { told } = await observe(second, { environment: { CATTLE_EXEC_AGENT: 'true' } });
    expect(told.slice(0, 2)).toEqual(['answered', 'becameUnknown serving-unknown']);
  });

  it('tells an update of the agent from a failure', async () => {
    const time = new SimulatedTime();
    const { told, serving } = recorder();
    let stamp = 1;
    startSimulatedAgent({
      time,
      number: 5,
      serving,
      answer: healthyAnswer,
      readStamps: () => [stamp],
      run: async () => {
        await time.sleep(minute);
        stamp = time.now;
        await time.sleep(2 * second);
        return { status: 1, signal: null };
      },
    });
    await time.passUntil(minute + 3 * second);
    expect(told).toEqual(['answered', 'began', 'exited 1 62 s by design']);
  });
});

describe('while a bootstrap runs', () => {
  it('the server is asked every five minutes, and what it answers does not disturb the run', async () => {
    let asked = 0;
    const { told, requests } = await observe(60 * minute, {
      answer: (request) => {
        if (!request.url.endsWith('configcontent')) return healthyAnswer(request);
        asked++;
        if (asked === 3) return unreachable();
        return asked === 5 ? textAnswer(502, '<html></html>') : healthyAnswer(request);
      },
    });
    expect(told.filter((line) => line === 'began')).toHaveLength(1);
    expect(told.some((line) => line.startsWith('exited'))).toBe(false);
    expect(told.filter((line) => line === 'unanswered server-unreachable')).toHaveLength(2);
    const at = requests.filter(({ path }) => path === 'configcontent').map((request) => request.at);
    const gaps = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    expect(gaps.length).toBeGreaterThanOrEqual(9);
    for (const gap of gaps) {
      expect(gap).toBeGreaterThanOrEqual(4 * minute);
      expect(gap).toBeLessThanOrEqual(6 * minute);
    }
    expect(new Set(gaps).size).toBe(gaps.length);
  });

  it('nobody asks any more once it has exited', async () => {
    const { requests } = await observe(60 * minute, { life: 2 * minute });
    // One check a turn; a poll of an earlier run would come in between.
    const paths = requests.map(({ path }) => path);
    expect(paths.filter((path) => path === 'configcontent').length).toBe(
      paths.filter((path) => path === 'bootstrap').length,
    );
  });

  it('nobody asks where nobody observes', async () => {
    const time = new SimulatedTime();
    let asked = 0;
    startSimulatedAgent({
      time,
      number: 5,
      answer: (request) => {
        asked++;
        return healthyAnswer(request);
      },
    });
    await time.passUntil(60 * minute);
    expect(asked).toBe(2);
  });
});

describe('an agent that cannot run its script', () => {
  const failing: readonly [string, ScriptRunner['stage'], string][] = [
    ['no bash', () => Promise.reject(new NoBashError(new Error('ENOENT'))), 'no-bash'],
    [
      'no room',
      () => Promise.reject(new HostFolderUnwritableError('/tmp', 'ENOSPC', new Error('ENOSPC'))),
      'no-room-for-bootstrap',
    ],
    [
      'a script that is not whole',
      () => Promise.resolve({ ...simulatedScript(), complaint: 'line 3: unexpected end of file' }),
      'script-not-whole',
    ],
  ];

  it.each(failing)('still hands on the image that its server requires: %s', async (_title, stage, cause) => {
    let image = 'rancher/agent:v1';
    const { told, required } = await observe(2 * minute, {
      stage,
      answer: (request) => {
        const answer = healthyAnswer(request, image);
        if (request.url.endsWith('bootstrap')) image = 'rancher/agent:v2';
        return answer;
      },
    });
    expect(told.slice(0, 2)).toEqual(['answered', `cannotRun ${cause}`]);
    expect(required.slice(0, 2)).toEqual([
      { kind: 'image', image: 'rancher/agent:v1' },
      { kind: 'image', image: 'rancher/agent:v2' },
    ]);
  });

  it.each([
    ['without its end', '#!/bin/bash\nREQUIRED_IMAGE="rancher/agent:v2"\nexit'],
    ['without its first line', 'REQUIRED_IMAGE="rancher/agent:v2"\n'],
  ])('does not believe a text %s', async (_title, text) => {
    const { required } = await observe(second, {
      answer: (request) =>
        request.url.endsWith('bootstrap') ? textAnswer(200, text) : healthyAnswer(request),
    });
    expect(required).toEqual([]);
  });
});

describe('a script that was staged on standby', () => {
  const script = '#!/bin/bash\nREQUIRED_IMAGE="rancher/agent:v3"\n';
  const bootstrap: BootstrapScript = { script, requiredImage: readRequiredImage(script) };

  it('runs first, without a request; its required image counts, and it is removed', async () => {
    let disposed = 0;
    const { told, required, requests } = await observe(30 * second, {
      life: 20 * second,
      staged: { script: simulatedScript(() => disposed++), bootstrap, fetchedAt: -2 * minute },
    });
    expect(told.slice(0, 2)).toEqual(['began', 'exited 0 20 s by design']);
    expect(required[0]).toEqual({ kind: 'image', image: 'rancher/agent:v3' });
    expect(disposed).toBe(1);
    // The next one is fetched.
    expect(requests.map(({ path }) => path)).toEqual(['configcontent', 'bootstrap']);
    expect(requests[0]?.at).toBeGreaterThanOrEqual(25 * second);
  });

  it.each([
    ['is older than two minutes', { fetchedAt: -2 * minute - 1 }, undefined],
    ['is not whole', { fetchedAt: 0 }, 'line 3: unexpected end of file'],
  ])('is removed and fetched again when it %s', async (_title, { fetchedAt }, complaint) => {
    let disposed = 0;
    const script = { ...simulatedScript(() => disposed++), complaint };
    const { told, required } = await observe(second, { staged: { script, bootstrap, fetchedAt } });
    expect(told).toEqual(['answered', 'began']);
    expect(required).toEqual([{ kind: 'image', image: 'rancher/agent:v1.2.11' }]);
    expect(disposed).toBe(1);
  });
});
