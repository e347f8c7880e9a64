import { describe, expect, it } from 'vitest';
import { waitForPromotion, roleOf } from '../../../../src/agent/run/standby.ts';
import type { ContainerDetails, ContainerSummary, Engine } from '../../../../src/engine/engine.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { EngineUnavailableError } from '../../../../src/support/errors.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { names } from '../../fakes/role-names.ts';

it.each([
  ['rancher-agent', 'agent'],
  ['rancher-agent-next', 'next'],
  ['rancher-agent-previous', 'previous'],
  ['rancher-agent-previous-3', 'previous'],
  ['pasturestack-node-agent-previous', 'previous'],
  ['my-own-agent', 'other'],
] as const)('a container named %s has the role %s', (name, role) => {
  expect(roleOf(name, names)).toBe(role);
});

/** A host as far as an agent on standby looks at it; time passes with every sleep. */
function standing(
  ownName: string,
  onReconcile: (settled: number) => string | undefined,
  others: readonly string[] = [],
  /** Whether the others are a tenant's. */
  areForged = false,
) {
  let now = 0;
  let name = ownName;
  let settled = 0;
  const running = (it: string) => ({
    ...{ id: it, name: it, state: 'running', image: 'rancher/agent:x', labels: {} },
    ...{ privileged: !areForged, binds: areForged ? [] : ['/var/run/docker.sock:/var/run/docker.sock'] },
  });
  const engine = {
    inspectContainer: (id: string) =>
      Promise.resolve((others.includes(id) ? running(id) : { name }) as unknown as ContainerDetails),
    followRenames: () => Promise.reject(new Error('an engine that tells nothing')),
    listContainers: ({ names: wanted }: { names: readonly string[] }) =>
      Promise.resolve(
        others.filter((other) => wanted.includes(other)).map(running) as unknown as ContainerSummary[],
      ),
  } as unknown as Engine;
  return {
    reconciledTimes: () => settled,
    options: {
      engine,
      names,
      limits: defaultLimits,
      clock: {
        now: () => now,
        elapsed: () => now,
        random: () => 0.5,
        sleep: (ms: number) => {
          now += ms;
          return Promise.resolve();
        },
      },
      log: silentLog,
      signal: new AbortController().signal,
      own: { id: 'own', name: ownName } as ContainerDetails,
      reconcile: () => {
        settled += 1;
        name = onReconcile(settled) ?? name;
        return Promise.resolve();
      },
    },
  };
}

describe('an agent on standby', () => {
  it('is active at once under the agent’s name, and under a name of a person’s own', async () => {
    for (const name of ['rancher-agent', 'my-own-agent']) {
      const { options, reconciledTimes } = standing(name, () => undefined);
      await waitForPromotion(options);
      expect(reconciledTimes()).toBe(0);
    }
  });

  it('acts when it is promoted', async () => {
    const { options, reconciledTimes } = standing('rancher-agent-next', (settled) =>
      settled === 2 ? 'rancher-agent' : undefined,
    );
    await waitForPromotion(options);
    expect(reconciledTimes()).toBe(2);
  });

  it('acts at once when the engine tells of its promotion, and hears no more of it then', async () => {
    const { options } = standing('rancher-agent-next', () => undefined);
    let name = 'rancher-agent-next';
    let tell = (): void => undefined;
    let over: AbortSignal | undefined;
    const looks: string[] = [];
    const engine = {
      ...options.engine,
      inspectContainer: () => {
        looks.push(name);
        return Promise.resolve({ name } as ContainerDetails);
      },
      followRenames: (_id: string, onRename: () => void, signal: AbortSignal) => {
        tell = onRename;
        over = signal;
        return new Promise<void>((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('over')));
        });
      },
    } as Engine;
    // Time stands still: without a word of the engine's it would be on standby for ever.
    const clock = { ...options.clock, sleep: () => new Promise<void>(() => undefined) };
    const acting = waitForPromotion({ ...options, engine, clock });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(looks).toEqual([]);
    name = 'rancher-agent-previous';
    tell();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(looks).toEqual(['rancher-agent-previous']);
    name = 'rancher-agent';
    tell();
    await acting;
    expect(over?.aborted).toBe(true);
  });

  /** A worker that stops an old agent for a minute; the promotion comes 300 ms after it was followed. */
  function followingForLong(tell: 'event' | 'nothing') {
    const { options } = standing('rancher-agent-next', () => undefined);
    let name = 'rancher-agent-next';
    let onRename = (): void => undefined;
    const seen: { promotedAt?: number; abandoned?: boolean } = {};
    const engine = {
      ...options.engine,
      inspectContainer: () => Promise.resolve({ name } as ContainerDetails),
      followRenames: (_id: string, callback: () => void) => {
        onRename = callback;
        return tell === 'event'
          ? new Promise<void>(() => undefined)
          : Promise.reject(new Error('tells nothing'));
      },
    } as Engine;
    const reconcile = async (signal: AbortSignal): Promise<void> => {
      setTimeout(() => {
        name = 'rancher-agent';
        seen.promotedAt = performance.now();
        if (tell === 'event') onRename();
      }, 300);
      signal.addEventListener('abort', () => (seen.abandoned = true));
      await new Promise((resolve) => setTimeout(resolve, 60_000).unref());
    };
    const limits = { ...defaultLimits, STANDBY_ALONE: 0 };
    return { seen, acting: waitForPromotion({ ...options, engine, clock: systemClock, limits, reconcile }) };
  }

  it.each([
    ['event', 100],
    ['nothing', defaultLimits.ROLE_POLL + 100],
  ] as const)(
    'notices its promotion while it follows a worker (the engine tells: %s)',
    async (tell, withinMs) => {
      const { acting, seen } = followingForLong(tell);
      await acting;
      expect(performance.now() - (seen.promotedAt ?? 0)).toBeLessThan(withinMs);
      expect(seen.abandoned).toBe(true);
    },
  );

  it('waits for an engine that does not answer for a while, and notices its promotion then', async () => {
    const { options } = standing('rancher-agent-next', () => undefined);
    let looks = 0;
    const engine = {
      ...options.engine,
      inspectContainer: () => {
        looks += 1;
        if (looks < 4) return Promise.reject(new EngineUnavailableError('no answer'));
        return Promise.resolve({ name: 'rancher-agent' } as ContainerDetails);
      },
    } as Engine;
    await waitForPromotion({ ...options, engine });
    expect(looks).toBe(4);
  });

  it('acts under its own name where the office can’t be had and no other agent runs', async () => {
    const { options, reconciledTimes } = standing('rancher-agent-previous', () => undefined);
    await waitForPromotion(options);
    expect(reconciledTimes()).toBe(defaultLimits.STANDBY_TRIES);
  });

  it.each(['rancher-agent', 'rancher-agent-previous-2'])(
    'does not act beside %s, and gives up within the bound',
    async (other) => {
      const { options } = standing('rancher-agent-next', () => undefined, [other]);
      await expect(waitForPromotion(options)).rejects.toThrow('still on standby');
    },
  );

  it.each(['rancher-agent', 'rancher-agent-previous-2'])(
    'acts beside a tenant’s %s that runs with our label or image: it is no agent, and the host needs one',
    async (other) => {
      const { options, reconciledTimes } = standing('rancher-agent-next', () => undefined, [other], true);
      await waitForPromotion(options);
      expect(reconciledTimes()).toBe(defaultLimits.STANDBY_TRIES);
    },
  );
});
