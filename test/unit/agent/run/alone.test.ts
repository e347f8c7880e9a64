import { describe, expect, it } from 'vitest';
import { waitUntilAlone } from '../../../../src/agent/run/alone.ts';
import { labels } from '../../../../src/agent/identity/roles.ts';
import type { ContainerDetails, ContainerState, Engine } from '../../../../src/engine/engine.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { VirtualClock } from '../../fakes/simulated-host.ts';
import { names } from '../../fakes/role-names.ts';

interface Facts {
  readonly state?: ContainerState;
  readonly privileged?: boolean;
}

/** @returns how long it waited, in ms */
async function wait(all: Record<string, Facts>, change?: (waited: number) => void): Promise<number> {
  const clock = new VirtualClock();
  const begun = clock.elapsed();
  const engine: Pick<Engine, 'inspectContainer'> = {
    inspectContainer: async (name) => {
      change?.(clock.elapsed() - begun);
      const facts = all[name];
      if (facts === undefined) return Promise.resolve(undefined);
      const details: Partial<ContainerDetails> = {
        ...{ id: name, name, image: 'rancher/agent:x', labels: { [labels.role]: 'agent' } },
        ...{ state: 'running', privileged: true, binds: ['/run/docker.sock:/run/docker.sock'], ...facts },
      };
      return Promise.resolve(details as ContainerDetails);
    },
  };
  const signal = new AbortController().signal;
  await waitUntilAlone({
    engine: engine as Engine,
    names,
    limits: defaultLimits,
    clock,
    log: silentLog,
    signal,
  });
  return clock.elapsed() - begun;
}

describe('an agent that cannot tell which container it is', () => {
  it.each([
    ['the only one that runs', { [names.agent]: {}, [names.next]: { state: 'exited' } }],
    ['the only one that is managed', { [names.agent]: {}, [names.next]: { privileged: false } }],
    ['under a name of its own', {}],
  ] as const)('is active at once where it is %s', async (_case, all) => {
    expect(await wait(all)).toBe(0);
  });

  it('waits beside another one, until that one is gone', async () => {
    const all: Record<string, Facts> = { [names.agent]: {}, [names.next]: {} };
    const waited = await wait(all, (so) => {
      if (so >= 60_000) all[names.agent] = { state: 'exited' };
    });
    expect(waited).toBe(60_000);
  });

  it('gives up after the time of a worker; Docker then starts it again', async () => {
    const error: unknown = await wait({ [names.agent]: {}, [names.next]: {} }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ exitCode: 75 });
  });
});
