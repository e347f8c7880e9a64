import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { performStep, UnremovableError } from '../../../../src/agent/transaction/apply.ts';
import { describeHolder, nameHolders, type Holder } from '../../../../src/agent/transaction/mount-holders.ts';
import type { Observed } from '../../../../src/agent/transaction/observe.ts';
import { judgeTransaction } from '../../../../src/agent/report/outcome.ts';
import { readDetails } from '../../../../src/engine/answers.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { SimulatedEngine } from '../../fakes/simulated-engine.ts';
import { actor, emptyScene } from '../../fakes/transaction-scene.ts';
import { stepContext, World } from '../../fakes/transaction-world.ts';

const layer = '1a7e'.repeat(16);
const imageLayer = 'ba5e'.repeat(16);

function layersOf(graphDriver: unknown): readonly string[] | undefined {
  return readDetails({ Id: 'a', State: {}, Config: {}, GraphDriver: graphDriver }).layers;
}

describe('the layers by which mounts are called', () => {
  it.each([
    [
      'overlay2',
      {
        Name: 'overlay2',
        Data: {
          LowerDir: `/var/lib/docker/overlay2/${layer}-init/diff:/var/lib/docker/overlay2/${imageLayer}/diff`,
          MergedDir: `/var/lib/docker/overlay2/${layer}/merged`,
          UpperDir: `/var/lib/docker/overlay2/${layer}/diff`,
        },
      },
    ],
    [
      'devicemapper',
      { Name: 'devicemapper', Data: { DeviceId: '7', DeviceName: `docker-253:0-42-${layer}` } },
    ],
    ['zfs', { Name: 'zfs', Data: { Dataset: `tank/docker/${layer}`, Mountpoint: '/x' } }],
  ])('%s: the container’s own, not those of its image, which others share', (_driver, answer) => {
    expect(layersOf(answer)).toEqual([layer]);
  });

  it.each([[undefined], [null], [{ Name: 'aufs', Data: null }], [{ Data: { DeviceId: 7 } }]])(
    'an engine that says %j says nothing',
    (answer) => {
      expect(layersOf(answer)).toEqual([]);
    },
  );
});

describe('who holds a container', () => {
  let proc: string;
  const monitor = 'feed'.repeat(16);

  beforeEach(async () => {
    proc = await mkdtemp(join(tmpdir(), 'holders-'));
  });
  afterEach(async () => {
    await rm(proc, { recursive: true, force: true });
  });

  async function addProcess(pid: number, command: string, container: string | undefined): Promise<void> {
    await mkdir(join(proc, `${pid}/ns`), { recursive: true });
    await symlink(`mnt:[${pid}]`, join(proc, `${pid}/ns/mnt`));
    await writeFile(join(proc, `${pid}/comm`), `${command}\n`);
    await writeFile(join(proc, `${pid}/cgroup`), container === undefined ? '' : `1:cpu:/docker/${container}`);
    const mount = `4 1 0:7 / /rootfs/overlay2/${layer}/merged rw - overlay overlay rw`;
    await writeFile(join(proc, `${pid}/mountinfo`), mount);
  }

  async function ask(world = new World(emptyScene)): Promise<readonly Holder[]> {
    const view = {
      engine: new SimulatedEngine(world.host),
      paths: pathsBelow('/none', proc),
      limits: { ...defaultLimits, HOLDERS_SHOWN: 2 },
      clock: world.host.clock,
      log: silentLog,
    };
    return nameHolders(view, { id: 'c'.repeat(64), name: 'x', layers: [layer] } as unknown as Observed);
  }

  it('a holder of a container is named with pid, command and container, by its layer alone', async () => {
    await addProcess(812, 'cadvisor', monitor);
    await addProcess(900, 'backup', undefined);
    const holders = await ask();
    expect(holders.map(describeHolder)).toEqual([
      `cadvisor (pid 812, container ${monitor.slice(0, 12)})`,
      'backup (pid 900, on the host itself)',
    ]);
  });

  it('no more holders are named than a person needs', async () => {
    for (const pid of [3, 4, 5, 6]) await addProcess(pid, 'x', undefined);
    expect(await ask()).toHaveLength(2);
  });

  it('no holder is named where the processes cannot be read, and the work goes on', async () => {
    await rm(proc, { recursive: true });
    expect(await ask()).toEqual([]);
  });
});

describe('a removal that fails', () => {
  const holder: Holder = {
    pid: 8,
    command: 'cadvisor',
    processes: 4,
    container: 'monitor',
    mountPoint: '/m',
  };

  async function discard(holdersOf: () => Promise<readonly Holder[]>): Promise<unknown> {
    const world = new World({ ...emptyScene, agent: actor('upstream', 'dead') });
    const container = { ...world.agent(), isDead: true, state: 'dead', name: 'old' } as unknown as Observed;
    return performStep({ do: 'discard', container }, { ...stepContext(world), holdersOf }).catch(
      (error: unknown) => error,
    );
  }

  it('a failed removal names who holds the container, in the state and in what to do', async () => {
    const error = await discard(() => Promise.resolve([holder]));
    expect(error).toBeInstanceOf(UnremovableError);
    const { container } = error as UnremovableError;
    expect(container).toMatchObject({ name: 'old', holders: [holder] });
    const outcome = judgeTransaction({
      reached: true,
      agent: undefined,
      agentRuns: true,
      restarts: false,
      unremovable: [container],
      touchedAgent: true,
      isIncumbent: false,
      error: undefined,
    });
    expect(outcome.hint).toMatch(/^old is held by cadvisor \(pid 8 and 3 more, container monitor\): stop or/);
    expect(outcome.unremovable).toEqual([container]);
  });

  it('a failed removal names nobody when nobody holds the container', async () => {
    const { container } = (await discard(() => Promise.resolve([]))) as UnremovableError;
    expect(container).not.toHaveProperty('holders');
  });
});
