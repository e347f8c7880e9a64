import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Seconds that the long test files take, roughly, on 2 cores. Where one of them starts last, the others are done long before
 * it. Vitest's own order (by size, or by the last run on this machine) does not know this on a build server: the smallest
 * files are among the longest here.
 */
export const longFiles: Readonly<Record<string, number>> = {
  'test/engine/faults/matrix-kills.test.ts': 1320,
  'test/engine/faults/crash-points.test.ts': 1130,
  'test/engine/readiness/readiness.test.ts': 950,
  'test/engine/faults/matrix-sickness.test.ts': 660,
  'test/engine/faults/matrix-pinned.test.ts': 630,
  'test/engine/upgrade/upgrade.test.ts': 310,
  'test/engine/faults/matrix-hostile.test.ts': 330,
  'test/engine/agent/run.test.ts': 250,
  'test/image/bases.test.ts': 240,
  'test/engine/server/tls.test.ts': 230,
  'test/engine/faults/matrix-pull.test.ts': 185,
  'test/image/builder.test.ts': 170,
  'test/engine/faults/unresponsive-disk.test.ts': 175,
  'test/engine/server/switches.test.ts': 165,
  'test/engine/server/profiles.test.ts': 95,
  'test/engine/server/profile-pasturestack.test.ts': 80,
  'test/engine/readiness/readiness-stale.test.ts': 125,
  'test/engine/faults/matrix-frozen.test.ts': 125,
  'test/engine/doctor/doctor.test.ts': 105,
  'test/engine/readiness/readiness-legacy.test.ts': 105,
  'test/engine/cleanup/cleanup.test.ts': 80,
  'test/engine/agent/bootstrap.test.ts': 95,
  'test/engine/faults/replay.test.ts': 90,
  'test/image/reproducible.test.ts': 85,
  'test/engine/readiness/readiness-restarts.test.ts': 80,
  'test/engine/readiness/readiness-answers.test.ts': 80,
  'test/engine/agent/reconnect.test.ts': 75,
  'test/engine/trust/identity.test.ts': 75,
  'test/engine/agent/daemon-options.test.ts': 75,
  'test/engine/agent/restart-cures.test.ts': 75,
};

/** Starts the long files first, the longest at the beginning; the others follow in vitest's own order. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const secondsOf = ({ moduleId }: TestSpecification): number =>
      longFiles[relative(this.ctx.config.root, moduleId)] ?? 0;
    return (await super.sort(files)).toSorted((a, b) => secondsOf(b) - secondsOf(a));
  }
}
