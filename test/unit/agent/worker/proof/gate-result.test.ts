import { mkdir, rename, rm, symlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { NotProvenError } from '../../../../../src/agent/transaction/not-ready.ts';
import { readinessFile, type ReadinessResult } from '../../../../../src/agent/run/readiness/result.ts';
import { EngineError } from '../../../../../src/engine/errors.ts';
import { InterruptedError } from '../../../../../src/support/errors.ts';
import { failureWith, hardened, startedAt } from '../../../fakes/worker-scene.ts';
import { addOld, keepWriting, next, pass, refusalOf, stageNextAgent, start } from './gate-stage.ts';
import { scene, server, timed } from './proof-stage.ts';

stageNextAgent();

describe('a next agent that is ready', () => {
  it('is let through at once, without an exec', async () => {
    addOld(hardened);
    await scene.writeReadiness(next);
    expect(await timed(async () => expect(await pass()).toEqual({ isRescue: false, start }))).toBe(0);
    expect(scene.executed).toEqual([]);
    expect(scene.told).toEqual([
      `waiting until rancher-agent-next has proven that it can serve ${server.url}/v1`,
    ]);
  });

  it('a little later, is let through then', async () => {
    addOld(hardened);
    scene.clock.after(3_000, async () => scene.writeReadiness(next));
    expect(await timed(pass)).toBe(3_000);
  });

  it('after a check had failed, is let through: what heals within READY is no failure', async () => {
    addOld(hardened);
    await scene.writeReadiness(next, { failure: failureWith() });
    scene.clock.after(20_000, async () => scene.writeReadiness(next));
    expect(await timed(pass)).toBe(20_000);
  });
});

describe('a result is not believed', () => {
  it.each<[string, Partial<ReadinessResult>]>([
    ['of another container, as docker commit copies it', { container: 'f'.repeat(64) }],
    ['of another start of this one', { startedAt: startedAt - 1 }],
    ['of the life before an automatic restart', { restartCount: 1 }],
    ['from the future', { checkedAt: 99_000_000 }],
  ])('%s', async (_what, parts) => {
    addOld(hardened);
    await keepWriting(parts);
    expect(await refusalOf()).toMatchObject({ code: 'ready-no-answer' });
  });

  it.each([
    [30_000, 'ready'],
    [30_001, 'too old'],
  ])('%i ms after it was written: %s', async (age, judged) => {
    addOld(hardened);
    await scene.writeReadiness(next, { checkedAt: scene.clock.elapsed() - age });
    const outcome = await refusalOf();
    if (judged === 'ready') expect(outcome).toEqual({ passed: { isRescue: false, start } });
    else expect(outcome).toMatchObject({ code: 'ready-no-answer' });
  });
});

describe('a file that cannot be read safely is not read: the next agent is asked by exec', () => {
  beforeEach(() => {
    addOld(hardened);
    scene.onExecute = () => ({
      status: 0,
      stdout: `WARNING: x\n${JSON.stringify(scene.readinessOf(next))}\n`,
      stderr: '',
    });
  });

  async function isAsked(): Promise<void> {
    expect(await pass()).toEqual({ isRescue: false, start });
    const { READY_BYTES, READY_EXEC } = scene.work.configuration.limits;
    expect(scene.executed).toMatchObject([
      { id: next.id, command: ['/run.sh', 'ready', '--json'], maxBytes: READY_BYTES, deadlineMs: READY_EXEC },
    ]);
  }

  it('a link in the place of the file', async () => {
    const file = scene.pathIn(next, readinessFile);
    await scene.writeReadiness(next);
    await rename(file, `${file}.real`);
    await symlink('readiness.json.real', file);
    await isAsked();
  });

  it('a link in the place of a folder', async () => {
    const folder = dirname(scene.pathIn(next, readinessFile));
    await scene.writeReadiness(next);
    await rename(folder, `${folder}.real`);
    await symlink(`${folder}.real`, folder);
    await isAsked();
  });

  it.each([
    ['no JSON', '{"version":1,'],
    ['JSON of another kind', '{"version":2}'],
    ['too long', `"${'x'.repeat(70_000)}"`],
  ])('%s', async (_what, text) => {
    await scene.writeIn(next, readinessFile, text);
    await isAsked();
  });

  it('a folder in the place of the file', async () => {
    await mkdir(scene.pathIn(next, readinessFile), { recursive: true });
    await isAsked();
  });

  it('an engine that cannot execute either: no result, and nobody is blamed', async () => {
    await scene.writeIn(next, readinessFile, 'damaged');
    scene.onExecute = () => {
      throw new EngineError('exec', 500, 'rpc error: code = 13');
    };
    const error = await refusalOf();
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).toMatchObject({ code: 'ready-no-answer', exitCode: 75 });
  });

  it('a worker that is told to stop meanwhile stops', async () => {
    await scene.writeIn(next, readinessFile, 'damaged');
    const reason = new InterruptedError('SIGTERM');
    scene.onExecute = ({ signal }) => {
      scene.stop.abort(reason);
      expect(signal?.aborted).toBe(true);
      throw new Error('aborted');
    };
    expect(await refusalOf()).toBe(reason);
  });
});

it('a next agent without a process is not read through another one', async () => {
  addOld(hardened);
  await scene.writeReadiness(next);
  scene.change(next.id, { pid: 0 });
  expect(await refusalOf()).toMatchObject({ code: 'ready-no-answer' });
  await rm(scene.pathIn(next, '/'), { recursive: true });
});
