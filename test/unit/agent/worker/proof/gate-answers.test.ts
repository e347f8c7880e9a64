import { describe, expect, it } from 'vitest';
import { NotProvenError, NotReadyError } from '../../../../../src/agent/transaction/not-ready.ts';
import type { ReadinessFailure, ReadinessResult } from '../../../../../src/agent/run/readiness/result.ts';
import type { ContainerDetails } from '../../../../../src/engine/engine.ts';
import { failureWith, hardened } from '../../../fakes/worker-scene.ts';
import { agentEnvironment, refusalAtGate, scene, stageEachTest } from './proof-stage.ts';

/* More than one answer of each side decides; one answer proves little. */

let next: ContainerDetails;
let old: ContainerDetails;

stageEachTest(() => {
  stage();
});

function stage(
  ofNext: Readonly<Record<string, string>> = {},
  ofOld: Readonly<Record<string, string>> = {},
): void {
  const environment = agentEnvironment();
  scene.containers.clear();
  next = scene.add('rancher-agent-next', { environment: { ...environment, ...ofNext } });
  old = scene.add('rancher-agent', {
    labels: hardened,
    environment: { ...environment, ...ofOld },
    image: 'rancher/agent:old',
  });
}

async function outcome(): Promise<unknown> {
  return refusalAtGate(next);
}

/** One result after the other, the last one for ever. */
async function reportInTurn(...results: readonly Partial<ReadinessResult>[]): Promise<void> {
  const [first = {}, ...rest] = results;
  await scene.writeReadiness(next, first);
  scene.clock.after(10_000, async () => reportInTurn(...(rest.length === 0 ? [first] : rest)));
}

/** What the old agent finds, one after the other, the last one for ever. */
function measureInTurn(...failures: readonly (ReadinessFailure | undefined)[]): void {
  const left = [...failures];
  scene.onExecute = () => {
    const failure = left.length > 1 ? left.shift() : left[0];
    const result = scene.readinessOf(old, failure === undefined ? {} : { failure });
    return { status: 0, stdout: JSON.stringify(result), stderr: '' };
  };
}

const page = failureWith({ check: 'curl', cause: 'ready-curl-page', message: 'a web page' });

describe('behind a load balancer with one broken server', () => {
  it('a check that passed before is no fault of the image: nothing is measured', async () => {
    await reportInTurn(
      { failure: page, passed: ['programs', 'server'] },
      { failure: { ...page, check: 'server', cause: 'ready-server-page' }, passed: ['programs'] },
    );
    measureInTurn(undefined);
    const error = await outcome();
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).toMatchObject({ code: 'ready-server-page', exitCode: 75 });
    expect(String(error)).toContain('not every answer of the server is like that');
    expect((error as NotProvenError).hint).toContain('load balancer');
    expect(scene.executed).toEqual([]);
  });

  it('a second measurement of the old agent that differs: deferred', async () => {
    await reportInTurn({ failure: page, passed: ['programs', 'server'] });
    measureInTurn(undefined, page);
    const error = await outcome();
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).toMatchObject({ code: 'ready-curl-page', exitCode: 75 });
    expect((error as NotProvenError).hint).toContain('load balancer');
    expect(scene.executed).toHaveLength(2);
  });

  it('an old agent that has no answer is not asked again', async () => {
    await reportInTurn({ failure: page });
    measureInTurn(page);
    expect(await outcome()).toMatchObject({ exitCode: 75 });
    expect(scene.executed).toHaveLength(1);
  });

  it('keys that the old agent’s server accepts only sometimes are not revoked: deferred', async () => {
    const refused = failureWith({ check: 'keys', fault: 'keys', cause: 'ready-keys-revoked' });
    await reportInTurn({ failure: { ...refused, confirmed: true }, passed: ['programs', 'server', 'curl'] });
    measureInTurn(refused, undefined);
    const error = await outcome();
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).toMatchObject({ code: 'ready-keys-revoked', exitCode: 75 });
  });

  it('what was measured for the keys does not decide about the way half a minute later', async () => {
    const refused = failureWith({
      check: 'keys',
      fault: 'keys',
      cause: 'ready-keys-revoked',
      confirmed: true,
    });
    await reportInTurn({ failure: refused }, { failure: page });
    // Accepted and refused: the server answers. Then it is gone for the old agent as well.
    measureInTurn(undefined, { ...refused, confirmed: false }, page);
    expect(await outcome()).toMatchObject({ code: 'ready-curl-page', exitCode: 75 });
    expect(scene.executed).toHaveLength(3);
  });

  it('only one result within READY decides nothing', async () => {
    await scene.writeReadiness(next, { failure: page });
    measureInTurn(undefined);
    expect(await outcome()).toMatchObject({ code: 'ready-curl-page', exitCode: 75 });
  });
});

describe('a script that is not whole', () => {
  const cut = failureWith({ check: 'script', cause: 'ready-script-not-whole', message: 'it is cut off' });

  it('for six seconds is no failure', async () => {
    await reportInTurn({ failure: cut }, {});
    expect(await outcome()).toMatchObject({ passed: { isRescue: false } });
    expect(scene.executed).toEqual([]);
  });

  it('for both agents is deferred', async () => {
    await reportInTurn({ failure: cut });
    measureInTurn(cut);
    expect(await outcome()).toMatchObject({ code: 'ready-script-not-whole', exitCode: 75 });
  });

  it('only for the next agent, each time, is refused after READY', async () => {
    await reportInTurn({ failure: cut });
    measureInTurn(undefined);
    const begun = scene.clock.elapsed();
    const error = await outcome();
    expect(error).toBeInstanceOf(NotReadyError);
    expect(error).toMatchObject({ code: 'ready-script-not-whole', exitCode: 73 });
    expect(scene.clock.elapsed() - begun).toBe(60_000);
  });
});

describe('no answer through a proxy', () => {
  const proxy = { http_proxy: 'http://me:hunter2@10.0.0.9:3128' };
  const silent = failureWith({
    check: 'server',
    fault: 'server',
    cause: 'ready-server-no-answer',
    message: 'timed out',
  });

  it.each(['ready-server-no-answer', 'ready-server-busy'] as const)(
    'that the old agent does not use, while it has live answers: refused, and the proxy is named (%s)',
    async (cause) => {
      stage(proxy);
      await reportInTurn({ failure: { ...silent, cause } });
      measureInTurn(undefined);
      const error = await outcome();
      expect(error).toBeInstanceOf(NotReadyError);
      expect(error).toMatchObject({ code: cause, exitCode: 73 });
      expect((error as NotReadyError).message).toContain(
        'the old agent does not use the proxy http://10.0.0.9:3128',
      );
      expect((error as NotReadyError).hint).toContain('look at its log');
      expect(JSON.stringify(error) + String(error)).not.toContain('hunter2');
    },
  );

  it('that the old agent does not use, and it has none either: deferred, and the proxy is named', async () => {
    stage(proxy);
    await reportInTurn({ failure: silent });
    measureInTurn(silent);
    const error = await outcome();
    expect(error).toBeInstanceOf(NotProvenError);
    expect((error as NotProvenError).hint).toContain('the proxy http://10.0.0.9:3128');
  });

  it.each([
    ['that both use', proxy, proxy],
    ['that neither uses for this server', { ...proxy, NO_PROXY: '127.0.0.1' }, {}],
    ['where there is none', {}, {}],
  ])('%s is the server’s: deferred, and nothing is measured', async (_where, ofNext, ofOld) => {
    stage(ofNext, ofOld);
    await reportInTurn({ failure: silent });
    expect(await outcome()).toMatchObject({ code: 'ready-server-no-answer', exitCode: 75 });
    expect(scene.executed).toEqual([]);
  });
});
