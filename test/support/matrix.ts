import { mkdir, rm, utimes, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import type { ProxyAction, RecordedRequest } from './engine-proxy.ts';
import type { Ending, Fault, Phase } from './fault-table.ts';
import type { CommandResult } from './host.ts';
import { images, limits, type Scene } from './scene.ts';

const run = promisify(execFile);

/** Short waits; the deadlines of reads are shorter than the freeze, so that it is really sat out. */
const hasty = limits({
  VERIFY: 1_000,
  VERIFY_POLL: 500,
  STAND_BY: 300,
  ATTEMPT_PAUSE_MIN: 1,
  ATTEMPT_PAUSE_MAX: 1,
  REMOVE_PAUSE_MIN: 50,
  REMOVE_PAUSE_MAX: 200,
  CALL_PAUSE: 100,
  INSPECT: 12_000,
  LIST: 12_000,
  LOCK_WAIT: 3_000,
});

/** At most so many containers are made by one struck upgrade and its followers: worker and next, twice each. */
const mostCreations = 6;

/** The worker's request that begins a phase. */
function begins(phase: Phase, next: () => string | undefined): (request: RecordedRequest) => boolean {
  const of = (test: (request: RecordedRequest) => boolean) => (request: RecordedRequest) =>
    request.userAgent.includes('(worker)') && test(request);
  const toPrevious = ({ query }: RecordedRequest): boolean =>
    query['name']?.startsWith('rancher-agent-previous') === true;
  switch (phase) {
    case 'preflight':
      return of(({ path }) => path === '/info');
    case 'create next':
      return of(({ path }) => path === '/containers/create');
    case 'start':
      return of(({ path }) => path.endsWith('/start'));
    case 'stop':
      return of(({ path }) => path.endsWith('/stop'));
    case 'set aside':
      return of((request) => request.path.endsWith('/rename') && toPrevious(request));
    case 'promote':
      return of(({ path }) => path === `/containers/${next() ?? ''}/rename`);
    case 'verify': {
      let isPromoted = false;
      return of((request) => {
        if (request.path.endsWith('/rename') && request.query['name'] === 'rancher-agent') isPromoted = true;
        return isPromoted && request.path === `/containers/${next() ?? ''}/json`;
      });
    }
    case 'discard':
      return of(({ method }) => method === 'DELETE');
  }
}

/** One cell: strikes an upgrade of a registered host, checks its end, lifts the fault, and has the next start converge. */
export async function runCell(scene: Scene, phase: Phase, fault: Fault, ending: Ending): Promise<void> {
  const { host } = scene;
  const before = await host.inspect('rancher-agent');
  const target = before?.Config.Image === images.a ? images.b : images.a;
  const keys = keysOf(before?.Config.Env);
  await host.proxy.reset();
  const plan = planFault(scene, phase, fault);
  await plan.prepare?.();
  const strike = arm(scene, phase, plan);
  const result = await scene.upgrade(target, ...hasty);
  await strike.done();
  await checkEnding(scene, ending, { result, target, old: before?.Id ?? '' });
  const made = host.proxy.count(({ path }) => path === '/containers/create');
  expect(made, 'containers made').toBeLessThanOrEqual(mostCreations);
  for (const { query } of host.proxy.requests.filter(({ path }) => path === '/containers/create')) {
    expect(['rancher-agent-worker', 'rancher-agent-next']).toContain(query['name']);
  }
  await strike.lift();
  host.proxy.clearRules();

  await scene.removeUpgradeContainer();
  await converge(scene, target);
  expect(keysOf((await host.inspect('rancher-agent'))?.Config.Env)).toEqual(keys);
  expect(await scene.readStatus()).toMatchObject({ state: 'ok', exitCode: 0 });
}

/** The next start. One that meets the agent's own settling at work is told to come back later, and does. */
async function converge(scene: Scene, target: string): Promise<void> {
  const again = await scene.upgrade(target, ...hasty);
  expect(again, again.stderr).toMatchObject({ status: 0 });
  await scene.removeUpgradeContainer();
  const [agent] = await scene.settled();
  expect(agent).toMatchObject({ state: 'running', image: target });
}

interface Struck {
  readonly result: CommandResult;
  readonly target: string;
  /** Id of the agent that was in office. */
  readonly old: string;
}

async function checkEnding(scene: Scene, ending: Ending, { result, target, old }: Struck): Promise<void> {
  const { host } = scene;
  const agent = await host.inspect('rancher-agent');
  switch (ending) {
    case 'reached':
      expect(result, result.stderr).toMatchObject({ status: 0 });
      expect(agent).toMatchObject({ Config: { Image: target }, State: { Running: true } });
      return;
    case 'reached without the caller':
      await scene.removeUpgradeContainer();
      expect((await scene.settled())[0]).toMatchObject({ state: 'running', image: target });
      return;
    case 'mends itself':
      await scene.removeUpgradeContainer();
      expect((await scene.settled())[0]).toMatchObject({ state: 'running' });
      return;
    case 'untouched':
      expect(result.status, result.stderr).toBeGreaterThanOrEqual(69);
      expect(agent).toMatchObject({ Id: old, State: { Running: true } });
      expect(await scene.readStatus()).toMatchObject({ state: 'failed' });
      expect(host.proxy.count(({ path }) => path === `/containers/${old}/stop`)).toBeLessThanOrEqual(3);
      return;
    case 'rolled back':
      expect(result.status, result.stderr).toBeGreaterThanOrEqual(69);
      expect(agent).toMatchObject({ Id: old, State: { Running: true } });
      expect(await scene.readStatus()).toMatchObject({ state: 'failed' });
      return;
    case 'degraded':
      expect(result, result.stderr).toMatchObject({ status: 73 });
      expect(agent).toMatchObject({ Config: { Image: target }, State: { Running: true } });
      expect(await scene.readStatus()).toMatchObject({ state: 'degraded', corpses: [{ id: old }] });
      return;
    case 'deferred':
      expect(result, result.stderr).toMatchObject({ status: 75 });
      expect(agent).toMatchObject({ Id: old, State: { Running: true } });
      return;
    case 'reached or untouched or back':
      expect([0, 69, 73, 75], result.stderr).toContain(result.status);
      await someAgentRuns(scene);
      return;
    case 'unfinished':
      await someAgentRuns(scene);
      return;
  }
}

/** In office, or standing by with a restart policy, which is what brings the host back. */
async function someAgentRuns(scene: Scene): Promise<void> {
  await scene.waitFor('an agent that runs', async () => {
    const running = (await scene.host.containers()).filter(
      ({ name, state }) => /^rancher-agent(-next|-previous(-[23])?)?$/.test(name) && state === 'running',
    );
    return running.length > 0 ? true : undefined;
  });
}

function keysOf(entries: readonly string[] | undefined): readonly string[] {
  const keys = (entries ?? []).filter((entry) => /^CATTLE_(URL|ACCESS_KEY|SECRET_KEY)=/.test(entry)).sort();
  expect(keys).toHaveLength(3);
  return keys;
}

interface Strike {
  /** The fault has struck and whatever it does by itself is over. @throws if it never struck */
  done(): Promise<void>;
  lift(): Promise<unknown>;
}

/** What strikes at a phase, and how it is lifted. */
interface Plan {
  /** Run once, right before the request that begins the phase. */
  readonly strike?: (request: RecordedRequest) => Promise<unknown>;
  /** Done to requests that begin the phase instead. */
  readonly action?: { readonly action: ProxyAction; readonly times?: number };
  /** Before the upgrade starts. */
  readonly prepare?: () => Promise<void>;
  /** Waited for after the caller has ended. */
  readonly after?: () => Promise<unknown>;
  readonly lift?: () => Promise<unknown>;
}

function arm(scene: Scene, phase: Phase, plan: Plan): Strike {
  const { host } = scene;
  let hasStruck = false;
  let next: string | undefined;
  const nextId = (): string | undefined => {
    const started = host.proxy.requests.find(
      ({ userAgent, path }) => userAgent.includes('(worker)') && path.endsWith('/start'),
    );
    next ??= started?.path.split('/')[2];
    return next;
  };
  const match = begins(phase, nextId);
  if (plan.action !== undefined) {
    const { action, times } = plan.action;
    host.proxy.addRule({
      match: (request) => {
        const hit = match(request);
        hasStruck ||= hit;
        return hit;
      },
      ...(times === undefined ? {} : { times }),
      action,
    });
  } else {
    const strike = plan.strike ?? (async () => Promise.resolve());
    host.proxy.addRule({
      match,
      times: 1,
      action: {
        kind: 'call',
        when: 'before',
        run: async (request) => {
          hasStruck = true;
          await strike(request);
        },
      },
    });
  }
  return {
    async done() {
      await plan.after?.();
      if (plan.prepare === undefined) expect(hasStruck, `the fault struck at ${phase}`).toBe(true);
    },
    lift: async () => plan.lift?.(),
  };
}

function planFault(scene: Scene, phase: Phase, fault: Fault): Plan {
  const { host } = scene;
  const kill = async (name: string): Promise<unknown> => host.tryDocker('kill', '-s', 'KILL', name);
  switch (fault) {
    case 'worker killed':
      return { strike: async () => kill('rancher-agent-worker') };
    case 'caller killed':
      return { strike: async () => kill('rancher-agent-upgrade') };
    case 'both killed':
      return {
        strike: async () => {
          await kill('rancher-agent-upgrade');
          await kill('rancher-agent-worker');
        },
      };
    case 'daemon killed and started':
      return { strike: async () => host.killEngine(), after: async () => host.startEngine() };
    case 'reboot': {
      let boot: Promise<void> | undefined;
      return {
        strike: async () => {
          boot = host.reboot();
          await sleep(100);
        },
        after: async () => boot,
      };
    }
    case 'daemon frozen 30 s':
      return {
        strike: async () => {
          await host.freezeEngine();
          setTimeout(() => void host.thawEngine(), 30_000);
        },
      };
    case 'answer cut off':
      return { action: { action: { kind: 'cut-after-headers' }, times: 1 } };
    case 'answer lost':
      return { action: { action: { kind: 'lose-answer' }, times: 1 } };
    case 'one 500':
      return { action: { action: { kind: 'answer', status: 500, body: 'a stumble' }, times: 1 } };
    case '500 for ever':
      return { action: { action: { kind: 'answer', status: 500, body: 'sick for ever' } } };
    case 'no space':
      return { strike: async () => host.fillDisk(), lift: async () => host.freeDisk() };
    case 'no inodes':
      return { strike: async () => host.fillInodes(), lift: async () => host.freeDisk() };
    case 'removal impossible':
      return planUnremovable(scene);
    case 'name taken by a stranger':
      return planStranger(scene, phase);
    case 'lock stale':
      return planLock(scene, Date.now() / 1000 - 120);
    case 'lock held by a live one':
      return planLock(scene, Date.now() / 1000 + 25);
    case 'status folder not writable':
      return planUnwritable(scene);
  }
}

function planUnremovable({ host }: Scene): Plan {
  let old = '';
  return {
    strike: async () => {
      const found = (await host.inspect('rancher-agent-previous')) ?? (await host.inspect('rancher-agent'));
      old = found?.Id ?? '';
      await host.makeUnremovable(old);
    },
    lift: async () => host.makeRemovable(old),
  };
}

function planStranger({ host }: Scene, phase: Phase): Plan {
  const names: Partial<Record<Phase, string>> = {
    'create next': 'rancher-agent-next',
    'set aside': 'rancher-agent-previous',
    promote: 'rancher-agent',
  };
  const name = names[phase] ?? '';
  return {
    strike: async () => host.docker('create', '--name', name, images.base, 'sleep', '1'),
    lift: async () => host.docker('rm', '-f', name),
  };
}

/** A lock of somebody that the engine knows nothing of, last touched at a time (seconds since 1970). */
function planLock({ host }: Scene, touched: number): Plan {
  const folder = join(host.stateDir, 'entrypoint');
  const lock = join(folder, 'lock-900.lock');
  return {
    prepare: async () => {
      await mkdir(lock, { recursive: true });
      await writeFile(
        join(folder, 'lock-owner.json'),
        `${JSON.stringify({ command: 'cleanup', pid: 1, generation: 900, nonce: 'n', since: new Date().toISOString() })}\n`,
      );
      await utimes(lock, touched, touched);
    },
    lift: async () => rm(lock, { recursive: true, force: true }),
  };
}

function planUnwritable({ host }: Scene): Plan {
  const folder = join(host.stateDir, 'entrypoint');
  return {
    strike: async () => run('chattr', ['+i', folder]),
    lift: async () => run('chattr', ['-i', folder]),
  };
}
