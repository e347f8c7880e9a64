import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { CleanupReport } from '../../../src/cleanup/report.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { prepareLeakyHost } from '../../support/scenes/leaky-host.ts';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';
import type { CommandResult } from '../../support/host/test-host.ts';

/* A host that has leaked helpers for years, and a cleanup on it. */

export let scene: Scene;

/** Starts the host of this test file. */
export function stageHost(): void {
  beforeAll(async () => {
    scene = await startScene({ name: 'cleanup', liveRestore: true });
  });
  beforeEach(async () => prepareLeakyHost(scene.host));
  afterEach(async () => scene.reset());
  afterAll(async () => scene.close());
}

export const cleaner = 'cleaner';
/** 2,000 as on a host of the incident take two minutes: `LEAKED_HELPERS=2000`. */
export const leakedHelpers = Number(process.env['LEAKED_HELPERS'] ?? 300);
export const asEver = { SWEEP_AGE: defaultLimits.SWEEP_AGE };
export const socket = ['-v', '/var/run/docker.sock:/var/run/docker.sock'];

/** As people type it, with a name so that a test can get at it. */
export function cleanupArguments(
  options: readonly string[],
  settings: readonly string[] = [],
): readonly string[] {
  return ['run', '--rm', '--name', cleaner, ...socket, ...settings, images.a, 'cleanup', ...options];
}

/** Containers of a test are young: all but the first test take that for old enough. */
export async function cleanup(
  options: readonly string[],
  settings: Readonly<Record<string, number>> = {},
): Promise<CommandResult> {
  return scene.host.tryDocker(...cleanupArguments(options, limits({ SWEEP_AGE: 0, ...settings })));
}

export function reportOf({ stdout }: CommandResult): CleanupReport {
  return JSON.parse(stdout) as CleanupReport;
}

/** The removals that a cleanup has asked the engine for. */
export function removals() {
  return scene.host.proxy.requests.filter(
    ({ method, userAgent }) => method === 'DELETE' && userAgent.includes('(cleanup)'),
  );
}

/** Does something when so many removals have been asked for; this one and all others wait until it is done. */
export function atRemoval(nth: number, run: () => Promise<unknown>): void {
  let seen = 0;
  let done: Promise<unknown> | undefined;
  scene.host.proxy.addRule({
    match: ({ method, userAgent }) => method === 'DELETE' && userAgent.includes('(cleanup)') && ++seen >= nth,
    action: {
      kind: 'call',
      when: 'before',
      run: async () => {
        await (done ??= run());
      },
    },
  });
}
