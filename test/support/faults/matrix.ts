import { expect } from 'vitest';
import type { RecordedRequest } from '../engine-proxy/engine-proxy.ts';
import { planFault, type Plan } from './fault-plans.ts';
import type { Ending, Fault, Phase } from './fault-table.ts';
import type { CommandResult } from '../host/host.ts';
import type { Scene } from '../scenes/scene.ts';
import type { Way } from './upgrade-way.ts';

/** One disturbed upgrade and its followers create at most so many containers: worker and next, twice each. */
const mostCreations = 6;

/**
 * Longest wait for an upgrade without a caller: the worker has the limits of its image, and watches the bootstrap for
 * 60 s.
 */
const aloneSeconds = 150;

/** Longest wait for a fault to strike where no caller reports the upgrade's end. */
const strikeSeconds = 45;

/** The worker's request that begins a phase. */
function begins(phase: Phase, next: () => string | undefined): (request: RecordedRequest) => boolean {
  const of = (test: (request: RecordedRequest) => boolean) => (request: RecordedRequest) =>
    request.userAgent.includes('(worker)') && test(request);
  const toPrevious = ({ query }: RecordedRequest): boolean =>
    query['name']?.startsWith('rancher-agent-previous') === true;
  switch (phase) {
    case 'preflight':
      return of(({ path }) => path === '/info');
    case 'pull':
      return of(({ path }) => path === '/images/create');
    case 'create next':
      return of(({ path }) => path === '/containers/create');
    case 'start':
      return of(({ path }) => path.endsWith('/start'));
    case 'ready': {
      let isStarted = false;
      return of((request) => {
        if (request.path.endsWith('/start')) isStarted = true;
        return isStarted && request.path === `/containers/${next() ?? ''}/json`;
      });
    }
    case 'stop':
      return of(({ path }) => path.endsWith('/stop'));
    case 'park':
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
    case 'watch': {
      // After the promotion the agent is inspected and verified, and then inspected once more.
      let looks = -1;
      return of((request) => {
        if (request.path.endsWith('/rename') && request.query['name'] === 'rancher-agent') looks = 0;
        if (looks >= 0 && request.path === '/containers/json') looks += 1;
        return looks >= 2 && request.path === `/containers/${next() ?? ''}/json`;
      });
    }
    case 'discard':
      return of(({ method }) => method === 'DELETE');
  }
}

/**
 * One cell: strikes an upgrade of a registered host, checks its end, lifts the fault, and has the next start converge.
 */
export async function runCell(way: Way, phase: Phase, fault: Fault, ending: Ending): Promise<void> {
  const { scene } = way;
  const { host } = scene;
  const before = await host.inspect('rancher-agent');
  const target = await way.chooseTarget(before?.Config.Image);
  const keys = keysOf(before?.Config.Env);
  await host.proxy.reset();
  const plan = planFault(way, phase, fault);
  await plan.prepare?.();
  const strike = arm(scene, phase, plan);
  const result = await way.upgrade(target);
  await strike.done(result === undefined ? strikeSeconds : 0);
  await checkEnding(scene, ending, { result, target, old: before?.Id ?? '' });
  if (plan.says !== undefined) expect((await scene.readStatus())['originalMessage']).toMatch(plan.says);
  checkCreations(host.proxy.requests, fault);
  await strike.lift();
  host.proxy.clearRules();

  await scene.removeUpgradeContainer();
  await converge(way, target);
  expect(keysOf((await host.inspect('rancher-agent'))?.Config.Env)).toEqual(keys);
}

/** A creation that the engine refuses, because another process was quicker, creates nothing. */
function checkCreations(requests: readonly RecordedRequest[], fault: Fault): void {
  const creations = requests.filter(({ path }) => path === '/containers/create');
  const told = creations.map(({ query, status, userAgent }) => `${query['name']} ${status} ${userAgent}`);
  const made = creations.filter(({ status }) => status === 201);
  expect(made.length, `containers made: ${told.join('; ')}`).toBeLessThanOrEqual(mostCreations);
  const takesNames = ['name taken by an unmanaged container', 'agent of a tenant appears'].includes(fault);
  const spare = [
    ...(takesNames ? ['rancher-agent-next-2'] : []),
    ...(fault === 'worker killed, and its name taken' ? ['rancher-agent-worker-2'] : []),
  ];
  for (const { query } of creations) {
    expect(['rancher-agent-worker', 'rancher-agent-next', ...spare]).toContain(query['name']);
  }
}

/** The next start. While the agent itself reconciles, it is refused for now, and tries again later. */
async function converge(way: Way, target: string): Promise<void> {
  const { scene } = way;
  const again = await way.upgrade(target);
  if (again === undefined) {
    await scene.waitFor(`an agent made from ${target}, and nothing else`, async () => {
      const containers = await scene.host.containers();
      const [agent] = containers;
      const isAlone = containers.length === 1 && agent?.state === 'running' && agent.image === target;
      return isAlone && (await scene.readStatus())['state'] === 'ok' ? true : undefined;
    });
  } else {
    expect(again, again.stderr).toMatchObject({ status: 0 });
    await scene.removeUpgradeContainer();
  }
  const [agent] = await scene.settled();
  expect(agent).toMatchObject({ state: 'running', image: target });
  expect(await scene.readStatus()).toMatchObject({ state: 'ok', exitCode: 0 });
}

interface Struck {
  readonly result: CommandResult | undefined;
  readonly target: string;
  /** Id of the agent that was active. */
  readonly old: string;
}

async function checkEnding(scene: Scene, ending: Ending, struck: Struck): Promise<void> {
  const { target, old } = struck;
  const { host } = scene;
  switch (ending) {
    case 'reached':
      if (struck.result === undefined) await reaches(scene, target);
      else expect(struck.result, struck.result.stderr).toMatchObject({ status: 0 });
      expect(await host.inspect('rancher-agent')).toMatchObject({
        Config: { Image: target },
        State: { Running: true },
      });
      return;
    case 'reached without the caller':
      await scene.removeUpgradeContainer();
      await reaches(scene, target);
      expect((await scene.settled())[0]).toMatchObject({ state: 'running', image: target });
      return;
    case 'mends itself':
      await scene.removeUpgradeContainer();
      await scene.waitFor(
        'the agent alone, and running',
        async () => {
          const [agent, ...others] = await host.containers();
          const isAlone = agent?.name === 'rancher-agent' && others.length === 0;
          return isAlone && agent.state === 'running' ? true : undefined;
        },
        aloneSeconds,
      );
      return;
    case 'untouched':
      expect(await exitOf(scene, struck), struck.result?.stderr).toBeGreaterThanOrEqual(69);
      expect(await host.inspect('rancher-agent')).toMatchObject({ Id: old, State: { Running: true } });
      expect(await scene.readStatus()).toMatchObject({ state: 'failed' });
      expect(host.proxy.count(({ path }) => path === `/containers/${old}/stop`)).toBeLessThanOrEqual(3);
      return;
    case 'rolled back':
      expect(await exitOf(scene, struck), struck.result?.stderr).toBeGreaterThanOrEqual(69);
      expect(await host.inspect('rancher-agent')).toMatchObject({ Id: old, State: { Running: true } });
      expect(await scene.readStatus()).toMatchObject({ state: 'failed' });
      return;
    case 'degraded':
      expect(await exitOf(scene, struck), struck.result?.stderr).toBe(73);
      expect(await host.inspect('rancher-agent')).toMatchObject({
        Config: { Image: target },
        State: { Running: true },
      });
      expect(await scene.readStatus()).toMatchObject({ state: 'degraded', unremovable: [{ id: old }] });
      return;
    case 'deferred':
      expect(await exitOf(scene, struck), struck.result?.stderr).toBe(75);
      expect(await host.inspect('rancher-agent')).toMatchObject({ Id: old, State: { Running: true } });
      return;
    case 'reached or untouched or back':
      expect([0, 69, 73, 75], struck.result?.stderr).toContain(await exitOf(scene, struck));
      await someAgentRuns(scene);
      return;
    case 'unfinished':
      await someAgentRuns(scene);
      return;
  }
}

async function reaches(scene: Scene, target: string): Promise<void> {
  await scene.waitFor(`an agent made from ${target}`, async () => {
    const agent = await scene.host.inspect('rancher-agent');
    return agent?.Config.Image === target && agent.State.Running ? true : undefined;
  });
}

/**
 * The exit status of the caller. An agent that is the caller does not exit, so then it is the status in the status
 * file.
 */
async function exitOf(scene: Scene, { result }: Struck): Promise<number> {
  if (result !== undefined) return result.status;
  return scene.waitFor('the end of the upgrade', async () => {
    const { state, exitCode } = await scene.readStatus();
    return state === 'working' ? undefined : Number(exitCode);
  });
}

/** An agent is active, or on standby with a restart policy, which is enough for the host to recover. */
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
  /** The fault has struck, and all of its own effects are over. @throws if it does not strike within so many seconds */
  done(seconds: number): Promise<void>;
  lift(): Promise<unknown>;
}

function arm(scene: Scene, phase: Phase, plan: Plan): Strike {
  const { host } = scene;
  let struck: Promise<unknown> | undefined;
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
        if (hit) struck ??= Promise.resolve();
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
          struck = strike(request);
          await struck;
        },
      },
    });
  }
  return {
    async done(seconds) {
      if (plan.prepare === undefined) {
        const look = async (): Promise<true | undefined> =>
          Promise.resolve(struck === undefined ? undefined : true);
        await scene.waitFor(`the fault strikes at ${phase}`, look, seconds);
      }
      await struck;
      await plan.after?.();
    },
    lift: async () => plan.lift?.(),
  };
}
