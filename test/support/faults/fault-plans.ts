/** How each fault of the matrix is caused on a host, and how it is removed again. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { ProxyAction, RecordedRequest } from '../engine-proxy/engine-proxy.ts';
import type { Fault, Phase } from './fault-table.ts';
import type { ImageRegistry, RegistryMood } from '../images/image-registry.ts';
import { images, type Scene } from '../scenes/scene.ts';
import type { Way } from './upgrade-way.ts';

const run = promisify(execFile);

/** What happens at a phase, and how it is undone. */
export interface Plan {
  /** Run once, right before the request that begins the phase. */
  readonly strike?: (request: RecordedRequest) => Promise<unknown>;
  /** What the proxy does instead with the requests that begin the phase. */
  readonly action?: { readonly action: ProxyAction; readonly times?: number };
  /** Before the upgrade starts. */
  readonly prepare?: () => Promise<void>;
  /** What the test waits for after the caller has exited. */
  readonly after?: () => Promise<unknown>;
  readonly lift?: () => Promise<unknown>;
  /** The message in the status: that of the engine or the server that refused. */
  readonly says?: RegExp;
}

/** @param phase whose first request is struck */
export function planFault(way: Way, phase: Phase, fault: Fault): Plan {
  const { scene } = way;
  const { host } = scene;
  const killWorker = async (): Promise<unknown> =>
    host.tryDocker('kill', '-s', 'KILL', 'rancher-agent-worker');
  switch (fault) {
    case 'worker killed':
      return { strike: killWorker };
    case 'caller killed':
      return { strike: async () => way.killCaller() };
    case 'both killed':
      return {
        strike: async () => {
          await way.killCaller();
          await killWorker();
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
    case 'daemon frozen 30 s': {
      let thaw: Promise<void> | undefined;
      return {
        strike: async () => {
          await host.freezeEngine();
          thaw = sleep(30_000).then(async () => host.thawEngine());
        },
        after: async () => thaw,
      };
    }
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
    case 'name taken by an unmanaged container':
      return planUnmanaged(scene, phase);
    case 'agent of a tenant appears':
      return planTenant(scene, phase);
    case 'worker killed, and its name taken':
      return planTakenWorker(scene);
    case 'storage read-only':
      return planReadOnlyPool(scene, phase);
    case 'hostile agent.conf':
      return planAgentConf(scene);
    case 'hostile lock files':
      return planLockFiles(scene);
    case 'status file is a FIFO':
      return planStatusFile(scene, async (file) => run('mkfifo', [file]));
    case 'status file is a link':
      return planStatusLink(scene);
    case 'status file of 100 MB':
      return planStatusFile(scene, async (file) => run('truncate', ['-s', '100M', file]));
    case 'lock stale':
      return planLock(scene, Date.now() / 1000 - 120);
    case 'lock held by a live one':
      return planLock(scene, Date.now() / 1000 + 25);
    case 'status folder not writable':
      return planUnwritable(scene);
    case 'registry away':
      return {
        strike: async () => registryOf(way).pause(),
        lift: async () => registryOf(way).resume(),
        says: /connection refused/,
      };
    case 'registry hangs in a layer':
      return planMood(way, 'hangs', /no answer within/);
    case 'image not in the registry':
      return planMood(way, 'knows nothing', /manifest unknown/);
  }
}

function registryOf({ registry }: Way): ImageRegistry {
  if (registry === undefined) throw new Error('nothing is pulled this way');
  return registry;
}

function planMood(way: Way, mood: RegistryMood, says: RegExp): Plan {
  const registry = registryOf(way);
  const set = (to: RegistryMood) => async (): Promise<void> => {
    registry.mood = to;
    return Promise.resolve();
  };
  return { strike: set(mood), lift: set('well'), says };
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

function planUnmanaged({ host }: Scene, phase: Phase): Plan {
  const names: Partial<Record<Phase, string>> = {
    'create next': 'rancher-agent-next',
    park: 'rancher-agent-previous',
    promote: 'rancher-agent',
  };
  const name = names[phase] ?? '';
  return {
    strike: async () => host.docker('create', '--name', name, images.base, 'sleep', '1'),
    lift: async () => host.docker('rm', '-f', name),
  };
}

/** It runs, unprivileged, with our label, keys of its own, and the name that the phase or the one after it needs. */
function planTenant({ host }: Scene, phase: Phase): Plan {
  const names: Partial<Record<Phase, string>> = {
    preflight: 'rancher-agent-next',
    'create next': 'rancher-agent-next',
    start: 'rancher-agent-previous',
    ready: 'rancher-agent-previous',
    stop: 'rancher-agent-previous',
    park: 'rancher-agent-previous',
    promote: 'rancher-agent',
  };
  const name = names[phase] ?? 'rancher-agent-next';
  let id = '';
  return {
    strike: async () => {
      id = await host.docker(
        ...['run', '-d', '--name', name, '--restart', 'always'],
        ...['--label', 'io.rancher.agent-entrypoint.role=agent', '-e', 'CATTLE_URL=http://evil.example/v1'],
        ...['-e', 'CATTLE_ACCESS_KEY=forged', '-e', 'CATTLE_SECRET_KEY=forged'],
        ...['--entrypoint', 'sleep', images.a, '86400'],
      );
    },
    after: async () => {
      const found = await host.inspect(name);
      if (found?.Id !== id || !found.State.Running) throw new Error(`${name} was touched`);
    },
    lift: async () => host.docker('rm', '-f', id),
  };
}

/** Something else is where the status file was. */
function planStatusFile({ host }: Scene, make: (file: string) => Promise<unknown>): Plan {
  const file = join(host.stateDir, 'entrypoint', 'status.json');
  const made = `${file}.made`;
  return {
    strike: async () => {
      await make(made);
      // In one step, because the caller may write the file at the same time.
      await rename(made, file);
    },
  };
}

/** What the link leads to is read by nobody, and not written to. The link is resolved in the containers, where the folder is the same. */
function planStatusLink(scene: Scene): Plan {
  const secrets = join(scene.host.stateDir, 'secrets');
  const text = 'root:$6$canary$hash\n';
  return {
    ...planStatusFile(scene, async (file) => {
      await writeFile(secrets, text, { mode: 0o600 });
      await symlink('/var/lib/rancher/secrets', file);
    }),
    after: async () => {
      const found = await stat(secrets);
      if ((await readFile(secrets, 'utf8')) !== text) throw new Error('it was written through the link');
      if ((found.mode & 0o777) !== 0o600 || found.nlink !== 1)
        throw new Error('the file behind the link was changed');
      const { stdout } = await run('grep', ['-rl', 'canary', join(scene.host.stateDir, 'entrypoint')]).catch(
        () => ({
          stdout: '',
        }),
      );
      if (stdout !== '') throw new Error(`it was read through the link: ${stdout}`);
    },
    lift: async () => rm(secrets, { force: true }),
  };
}

/** A tenant waits for the moment in which the name of the worker is free. */
function planTakenWorker({ host }: Scene): Plan {
  const name = 'rancher-agent-worker';
  let id = '';
  return {
    strike: async () => {
      await host.tryDocker('kill', '-s', 'KILL', name);
      for (let tries = 0; id === '' && tries < 200; tries += 1) {
        const created = await host.tryDocker(
          ...['create', '--name', name, '--label', 'io.rancher.agent-entrypoint.role=worker'],
          ...[images.a, 'worker', 'upgrade'],
        );
        if (created.status === 0) id = created.stdout.trim();
      }
    },
    after: async () => {
      // If the caller was quicker, the name was never the tenant's.
      if (id !== '' && (await host.inspect(name))?.Id !== id) throw new Error(`${name} was touched`);
    },
    lift: async () => (id === '' ? undefined : host.docker('rm', '-f', id)),
  };
}

/** As the kernel leaves a devicemapper pool without metadata: what runs goes on; nothing is created, started or removed (engine-notes §8). */
function planReadOnlyPool({ host }: Scene, phase: Phase): Plan {
  let lift: (() => void) | undefined;
  const message =
    'devmapper: Error saving transaction metadata: devmapper: Error writing metadata: dm_task_run failed';
  const action: ProxyAction = { kind: 'answer', status: 500, body: { message } };
  // The request in hand is the first removal.
  if (phase === 'discard') return { action: { action } };
  return {
    strike: async () => {
      lift = host.proxy.addRule({
        match: ({ method, path }) =>
          method === 'DELETE' || path === '/containers/create' || /^\/containers\/[^/]+\/start$/.test(path),
        action,
      });
      return Promise.resolve();
    },
    lift: async () => Promise.resolve(lift?.()),
  };
}

/** 100,000 lines that are none, and as many variables as a process can hardly be given. */
function planAgentConf({ host }: Scene): Plan {
  const folder = join(host.stateDir, 'etc');
  const file = join(folder, 'agent.conf');
  const variables = Array.from(
    { length: 2_000 },
    (_, index) => `export __proto__${index}=${'v'.repeat(100)}\n`,
  );
  return {
    strike: async () => {
      await mkdir(folder, { recursive: true });
      const text = `${variables.join('')}export __proto__=x\nexport constructor=\nexport X="\0"\n\u001b[2J\n`;
      await writeFile(file, text + 'x\n'.repeat(100_000));
    },
    lift: async () => rm(file, { force: true }),
  };
}

/** Nothing in them tells who has the lock: a link in the place of the owner file, and folders with numbers that no lock can have. */
function planLockFiles({ host }: Scene): Plan {
  const folder = join(host.stateDir, 'entrypoint');
  const strays = ['lock-1000000000.lock', 'lock-1000001000.lock', `lock-${'9'.repeat(15)}.lock`];
  return {
    strike: async () => {
      for (const stray of strays) {
        await mkdir(join(folder, stray, 'folder'), { recursive: true });
        await utimes(join(folder, stray), 1, 1);
      }
      const owner = join(folder, 'lock-owner.json');
      await rm(owner, { force: true });
      await symlink('/dev/zero', owner);
    },
    lift: async () => {
      for (const stray of strays) await rm(join(folder, stray), { recursive: true, force: true });
    },
  };
}

/** A lock whose owner is in no container of the engine. @param touched when it was last touched, seconds since 1970 */
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
