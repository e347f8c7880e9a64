/** The same sets of containers removed by `cleanup` and by what people would type instead, alternately. */
import { execFile, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { makeLeaks } from '../../test/support/scenes/leak-maker.ts';
import { oldImage } from '../../test/support/scenes/leaky-host.ts';
import { images, limits } from '../../test/support/scenes/scene.ts';
import type { TestHost } from '../../test/support/host/test-host.ts';
import type { Timing, Tool } from './cleanup-page.ts';

const run = promisify(execFile);

/** One try of each tool. */
export type Round<T extends Tool = Tool> = Readonly<Record<T, Timing>>;

/** Each tool on sets of this size, each time in another order, with nobody looking on: that takes time of its own. */
export async function timeRounds<T extends Tool>(
  host: TestHost,
  size: number,
  count: number,
  each: readonly T[],
): Promise<readonly Round<T>[]> {
  const rounds: Round<T>[] = [];
  for (let round = 0; round < count; round += 1) {
    const timings: [T, Timing][] = [];
    const turn = round % each.length;
    for (const tool of [...each.slice(turn), ...each.slice(0, turn)]) {
      await fill(host, size);
      const timing = await time(host, tool, size);
      timings.push([tool, timing]);
      console.log(
        `${size} ${tool.padEnd(8)} ${timing.seconds.toFixed(1)} s, ${timing.rate}/s while removing`,
      );
    }
    rounds.push(Object.fromEntries(timings) as Round<T>);
  }
  return rounds;
}

/** Leaked containers that were created and never ran. */
export async function fill(host: TestHost, size: number): Promise<void> {
  await makeLeaks(
    host.engineSocketPath,
    Array.from({ length: size }, () => ({ image: oldImage, entrypoint: '/run.sh' })),
  );
}

async function time(host: TestHost, tool: Tool, size: number): Promise<Timing> {
  const removals = await followRemovals(host);
  const begun = performance.now();
  await perform(host, tool);
  const seconds = (performance.now() - begun) / 1000;
  // The last of them are still on their way to us.
  await sleep(500);
  const times = removals.end();
  const left = await host.containers();
  if (left.length > 0) throw new Error(`${tool} left ${left.length} of ${size}`);
  // An engine drops events for a reader that lags behind, and both cores are full.
  if (times.length < size * 0.99) throw new Error(`${times.length} removals were told, of ${size}`);
  return { tool, size, seconds: round(seconds), rate: rateOf(times) };
}

/** Removes them all with that tool. */
export async function perform(host: TestHost, tool: Tool): Promise<void> {
  switch (tool) {
    case 'cleanup': {
      await command(
        host,
        // The engine itself, as the others: not the proxy of the tests.
        ...['docker', 'run', '--rm', '--name', 'cleaner', '-v', '/run/engine.sock:/var/run/docker.sock'],
        // Those of the bench have just been created.
        ...limits({ SWEEP_AGE: 0 }),
        ...[images.a, 'cleanup', '--yes', '--json'],
      );
      return;
    }
    case 'prune':
      await command(host, 'docker', 'container', 'prune', '-f');
      return;
    case 'xargs':
      await command(host, 'sh', '-c', 'docker ps -aq | xargs -P4 docker rm');
      return;
  }
}

/** The engine's own times of all removals from now on, in ms; but the one of the tool's own container. */
async function followRemovals(host: TestHost): Promise<{ end: () => readonly number[] }> {
  const format = '{{.TimeNano}} {{.Actor.Attributes.name}}';
  const filters = ['--filter', 'type=container', '--filter', 'event=destroy'];
  const events = spawn('docker', ['events', ...filters, '--since', '0', '--format', format], {
    env: environmentFor(host),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const begun = Date.now();
  let text = '';
  events.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  // What was before comes at once, if there is any; it is left out below.
  await sleep(500);
  return {
    end() {
      events.kill();
      return text
        .split('\n')
        .filter((line) => line !== '' && !line.endsWith(' cleaner'))
        .map((line) => Number(line.split(' ')[0]) / 1e6)
        .filter((at) => at >= begun);
    },
  };
}

function rateOf(times: readonly number[]): number {
  const [first, last] = [Math.min(...times), Math.max(...times)];
  return Math.round(((times.length - 1) * 1_000) / (last - first));
}

async function command(host: TestHost, file: string, ...args: string[]): Promise<void> {
  await run(file, args, { env: environmentFor(host), maxBuffer: 64 * 2 ** 20 });
}

function environmentFor(host: TestHost): NodeJS.ProcessEnv {
  return { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DOCKER_HOST: `unix://${host.engineSocketPath}` };
}

/** To hundredths. */
export function round(seconds: number): number {
  return Number(seconds.toFixed(2));
}
