import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { images, limits } from '../../support/scenes/scene.ts';
import { run, scene, stageHost, socket, registered } from './doctor-stage.ts';

stageHost();

describe('metrics and status, on a host whose agent.conf names a textfile', () => {
  const file = '/var/lib/textfile/rancher_agent.prom';
  const readMetrics = async (): Promise<string> => readFile(scene.host.pathInHost(file), 'utf8');
  const status = ['run', '--rm', ...socket, '-v', '/var/lib/rancher:/var/lib/rancher'];

  beforeAll(async () => {
    await mkdir(scene.host.pathInHost('/var/lib/textfile'));
    await mkdir(join(scene.host.stateDir, 'etc'), { recursive: true });
    await writeFile(join(scene.host.stateDir, 'etc/agent.conf'), `export AGENT_METRICS_FILE=${file}\n`);
    await registered();
  });
  afterAll(async () => scene.reset());

  it('the textfile shows the state and what the agent counts', async () => {
    // By the worker of the registration, on the host itself.
    expect(await readMetrics()).toContain('rancher_agent_state{state="ok"} 1\n');
    const counted = await scene.waitFor('the count by the agent', async () => {
      const text = await readMetrics();
      return text.includes('rancher_agent_leaked_helpers 0\n') ? text : undefined;
    });
    expect(counted).toContain('rancher_agent_state{state="failed"} 0\n');
    scene.server.behaviour.agentKeys = 'revoked';
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    const failed = await scene.waitFor('the failure', async () => {
      const text = await readMetrics();
      return text.includes('rancher_agent_state{state="failed"} 1\n') ? text : undefined;
    });
    scene.server.behaviour.agentKeys = 'live';
    expect(failed).toMatch(/^rancher_agent_last_success_timestamp_seconds \d{10}/m);
    expect(failed).toContain('rancher_agent_leaked_helpers 0\n');
  });

  it('a missing folder costs the metrics and nothing else', async () => {
    await run('rm', ['-r', scene.host.pathInHost('/var/lib/textfile')]);
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(result.stderr.match(/the metrics cannot be written/g)).toHaveLength(1);
    await scene.removeUpgradeContainer();
    await scene.settled();
    expect(await scene.readStatus()).toMatchObject({ state: 'ok' });
  });

  it('status --watch prints a line for each change, and exits 0 after Ctrl-C', async () => {
    const quickly = limits({ STATUS_REFRESH: 200 });
    const watching = scene.host.spawnDocker(...status, ...quickly, images.a, 'status', '--watch');
    let shown = '';
    watching.stdout?.on('data', (chunk: Buffer) => (shown += chunk.toString()));
    const lines = async (count: number): Promise<true> =>
      scene.waitFor(`${count} lines`, () =>
        Promise.resolve(shown.split('\n').length > count ? true : undefined),
      );
    await lines(1);
    await scene.host.docker('kill', 'rancher-agent');
    await lines(2);
    await scene.host.docker('start', 'rancher-agent');
    await lines(3);
    watching.kill('SIGINT');
    const [exit] = (await once(watching, 'exit')) as [number];
    expect(exit).toBe(0);
    expect(
      shown
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/^\S+ | \|.*$/g, '')),
    ).toEqual([
      expect.stringMatching(/^(healthy|warnings): rancher-agent runs for \d+ s: /),
      expect.stringMatching(
        /^unhealthy: rancher-agent \([0-9a-f]{12}\) does not run: exited for \d+ s \(status 137\)$/,
      ),
      expect.stringMatching(/^(healthy|warnings): rancher-agent runs for \d+ s: /),
    ]);
  });

  it('status --watch redraws its screen on a terminal, in colours unless NO_COLOR', async () => {
    const watch = async (...options: readonly string[]): Promise<{ status: number; screen: string }> => {
      const command = ['docker', ...status, '-it', ...limits({ STATUS_REFRESH: 200 }), ...options, images.a];
      const typed = `stty cols 80 rows 30; exec ${command.join(' ')} status --watch`;
      const terminal = spawn('script', ['-qec', typed, '/dev/null'], {
        env: { PATH: process.env['PATH'] ?? '', DOCKER_HOST: `unix://${scene.host.engineSocketPath}` },
      });
      let screen = '';
      terminal.stdout.on('data', (chunk: Buffer) => (screen += chunk.toString()));
      await scene.waitFor('two screens', () =>
        Promise.resolve(screen.split('\u001B[H\u001B[J').length > 2 ? true : undefined),
      );
      terminal.stdin.write('\u0003');
      const [exit] = (await once(terminal, 'exit')) as [number];
      return { status: exit, screen };
    };
    const coloured = await watch();
    expect(coloured.status, coloured.screen).toBe(0);
    expect(coloured.screen).toContain('\u001B[32m');
    const plain = await watch('-e', 'NO_COLOR=1');
    expect(plain.status).toBe(0);
    expect(plain.screen).toContain('host       ');
    expect(plain.screen).not.toMatch(/\u001B\[\d+m/);
    for (const line of plain.screen.split(/\r?\n/)) {
      expect(stripVTControlCharacters(line).length, line).toBeLessThanOrEqual(80);
    }
  });
});
