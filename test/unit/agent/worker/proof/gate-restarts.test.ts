import { describe, expect, it } from 'vitest';
import { NotProvenError, NotReadyError } from '../../../../../src/agent/transaction/not-ready.ts';
import type { ReadinessResult } from '../../../../../src/agent/run/readiness/result.ts';
import type { ContainerDetails } from '../../../../../src/engine/engine.ts';
import { failureWith, hardened, legacy, startedAt } from '../../../fakes/worker-scene.ts';
import {
  addNext,
  agentEnvironment,
  passGate,
  refusalAtGate,
  scene,
  server,
  stageEachTest,
} from './proof-stage.ts';

/* Somebody restarts, kills or removes a next agent while it has to prove that it can serve. */

let next: ContainerDetails;

stageEachTest(() => {
  next = addNext();
  const environment = agentEnvironment();
  scene.add('rancher-agent', { labels: hardened, environment, image: 'rancher/agent:old' });
});

/** What the container is like now. */
function present(): ContainerDetails {
  const found = scene.containers.get(next.id);
  if (found === undefined) throw new Error('the next agent is gone');
  return found;
}

function change(parts: Partial<ContainerDetails>): void {
  scene.change(next.id, parts);
}

/** A process that has just begun: its result is not there yet. */
function begin(restartCount: number): void {
  change({ state: 'running', exitCode: 0, restartCount, startedAt: scene.clock.now(), pid: nextPid() });
}

let pid = 5_000;
function nextPid(): number {
  pid += 1;
  return pid;
}

async function report(parts: Partial<ReadinessResult> = {}): Promise<void> {
  await scene.writeReadiness(present(), parts);
}

/** `docker restart` at a moment (ms from now): no process for a while, then another start of the same count. */
function restart(at: number, gap: number): void {
  scene.clock.after(at, () => {
    change({ state: 'exited', exitCode: 143, pid: 0 });
  });
  scene.clock.after(at + gap, () => {
    begin(0);
  });
}

/** A process that exits at a moment, and that the engine starts again. @param seen whether it is looked at in between */
function crash(at: number, exitCode: number, restartCount: number, seen = true): void {
  scene.clock.after(at, () => {
    if (seen) change({ state: 'restarting', exitCode, restartCount, pid: 0 });
  });
  scene.clock.after(at + 500, () => {
    begin(restartCount);
  });
}

describe('a restart', () => {
  it('by somebody: the new start goes on, and has to prove it itself', async () => {
    await report({ failure: failureWith() });
    restart(5_000, 600);
    scene.clock.after(20_000, async () => report());
    const passage = await passGate(next);
    expect(passage).toEqual({ isRescue: false, start: `${present().startedAt ?? 0}/0` });
    expect(present().startedAt).not.toBe(startedAt);
    expect(scene.lines.join('')).toContain('rancher-agent-next was restarted');
  });

  it.each([137, 143, 1])('by the engine after status %i: the new start goes on', async (exitCode) => {
    crash(5_000, exitCode, 1);
    scene.clock.after(20_000, async () => report());
    expect(await passGate(next)).toMatchObject({ start: `${present().startedAt ?? 0}/1` });
  });

  it('between two looks is noticed: what the former process reported does not count', async () => {
    await report({ failure: failureWith() });
    scene.clock.after(5_000, () => {
      begin(1);
    });
    // A result of the former start, written a moment too late.
    const forged = { startedAt, restartCount: 0 };
    scene.clock.after(6_000, async () => report(forged));
    scene.clock.after(9_000, async () => report());
    const begun = scene.clock.elapsed();
    expect(await passGate(next)).toMatchObject({ start: `${present().startedAt ?? 0}/1` });
    expect(scene.clock.elapsed() - begun).toBe(9_000);
  });

  it('gives the new start its own time', async () => {
    restart(50_000, 600);
    scene.clock.after(100_000, async () => report());
    expect(await passGate(next)).toMatchObject({ isRescue: false });
  });

  it('again and again by somebody ends the wait, and is nobody’s fault', async () => {
    for (let turn = 0; turn < 10; turn += 1) restart(5_000 * (turn + 1), 600);
    const error = await refusalAtGate(next);
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).toMatchObject({ code: 'next-stopped', exitCode: 75 });
    expect(scene.clock.elapsed() - 1_000_000).toBeLessThan(25_000);
  });
});

describe('an image is at fault', () => {
  it('whose process exits by itself again and again', async () => {
    for (const turn of [1, 2, 3, 4, 5]) crash(2_000 * turn, 1, turn);
    const error = await refusalAtGate(next);
    expect(error).toBeInstanceOf(NotReadyError);
    expect(error).toMatchObject({ code: 'next-does-not-run', exitCode: 73 });
    const end = (error as NotReadyError).originalMessage;
    expect(end).toBe('state restarting, exit status 1, restarted 4 times; exit statuses: 1, 1, 1, 1');
  });

  it.each([
    ['has exited by itself and is not started again', { state: 'exited', restartPolicy: 'no' }, 2_000],
    ['does not get over a restart', { state: 'restarting' }, 12_000],
  ] as const)('if its process %s', async (_what, parts, after) => {
    scene.clock.after(2_000, () => {
      change({ ...parts, exitCode: 2 });
    });
    const error = await refusalAtGate(next);
    expect(error).toBeInstanceOf(NotReadyError);
    expect(error).toMatchObject({ code: 'next-does-not-run' });
    expect((error as NotReadyError).originalMessage).toContain('exit status 2');
    expect(scene.clock.elapsed() - 1_000_000).toBe(after);
  });

  it('whose process exits so soon that it is never seen to run: without waiting for RESTART_GAP', async () => {
    for (const turn of [1, 2, 3, 4, 5]) {
      scene.clock.after(500 * turn, () => {
        change({ state: 'restarting', exitCode: 127, restartCount: turn, pid: 0 });
      });
    }
    const error = await refusalAtGate(next);
    expect(error).toMatchObject({
      code: 'next-does-not-run',
      originalMessage:
        'state restarting, exit status 127, restarted 4 times; exit statuses: 127, 127, 127, 127',
    });
    expect(scene.clock.elapsed() - 1_000_000).toBe(2_000);
  });

  it('while a legacy agent waits: the state says that no agent is active', async () => {
    server.setRequiredImage('rancher/agent:wanted');
    const old = [...scene.containers.values()].find(({ name }) => name === 'rancher-agent');
    scene.change(old?.id ?? '', { labels: legacy });
    for (const turn of [1, 2, 3, 4, 5]) crash(2_000 * turn, 1, turn);
    const error = await refusalAtGate(next);
    expect(error).toMatchObject({
      code: 'no-active-agent',
      exitCode: 73,
      originalMessage: 'next-does-not-run',
    });
    expect(String(error)).toContain('NO agent is active on this host');
  });

  it('although somebody has killed it as well', async () => {
    for (const turn of [1, 2, 3, 4, 5]) crash(2_000 * turn, turn === 2 ? 1 : 137, turn);
    expect(await refusalAtGate(next)).toMatchObject({ code: 'next-does-not-run' });
  });

  it('if nobody saw how its processes ended', async () => {
    for (const turn of [1, 2, 3, 4, 5]) crash(2_000 * turn, 1, turn, false);
    expect(await refusalAtGate(next)).toMatchObject({
      code: 'next-does-not-run',
      originalMessage: 'state running, restarted 4 times; exit statuses: not seen',
    });
  });
});

describe('no image is at fault', () => {
  it.each([137, 143])('if its process is killed again and again (%i)', async (exitCode) => {
    for (const turn of [1, 2, 3, 4, 5]) crash(2_000 * turn, exitCode, turn);
    const error = await refusalAtGate(next);
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).toMatchObject({ code: 'next-stopped', exitCode: 75 });
    expect(String(error)).not.toContain('does not stay up');
  });

  it.each([
    ['stops it', { state: 'exited', exitCode: 143 }],
    ['kills it by docker kill', { state: 'exited', exitCode: 137 }],
    ['stops it and switches its policy off', { state: 'exited', exitCode: 137, restartPolicy: 'no' }],
    ['pauses it', { state: 'paused' }],
  ] as const)('if somebody %s, after RESTART_GAP', async (_what, parts) => {
    scene.clock.after(5_000, () => {
      change(parts);
    });
    const begun = scene.clock.elapsed();
    const error = await refusalAtGate(next);
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).toMatchObject({ code: 'next-stopped', exitCode: 75 });
    const { RESTART_GAP } = scene.work.configuration.limits;
    expect(scene.clock.elapsed() - begun).toBe(5_000 + RESTART_GAP);
  });

  it.each(['gone', 'dead', 'removing'] as const)('if somebody removes it (%s): at once', async (how) => {
    scene.clock.after(5_000, () => {
      if (how === 'gone') scene.containers.delete(next.id);
      else change({ state: how });
    });
    const error = await refusalAtGate(next);
    expect(error).toBeInstanceOf(NotProvenError);
    expect(error).toMatchObject({ code: 'next-removed', exitCode: 75 });
    expect(String(error)).toContain('somebody removed the new agent');
    expect(scene.clock.elapsed() - 1_000_000).toBe(5_000);
  });
});
