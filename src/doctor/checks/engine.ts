import { formatDuration } from '../../support/deadline.ts';
import { fine, type Finding } from '../finding.ts';
import type { HostSnapshot } from '../snapshot.ts';

/** Whether the engine answers, and whether helpers of the legacy entrypoint can leak on it. */
export function checkEngine({ engine }: HostSnapshot): readonly Finding[] {
  if (!engine.known) {
    return [
      {
        check: 'engine',
        level: 'unhealthy',
        text: engine.why,
        cause: 'engine-unavailable',
        ...(engine.hint === undefined ? {} : { advice: engine.hint }),
      },
    ];
  }
  const { version, features, tookMs } = engine.value;
  const meaning = features.autoRemove
    ? 'AutoRemove'
    : 'no AutoRemove (it came with 1.25): a killed `docker run --rm` leaks its container';
  return [
    fine(
      'engine',
      `Docker ${version.engine}, API ${version.api}, ${meaning}; answers in ${formatDuration(tookMs)}`,
      {
        version: version.engine,
        api: version.api,
        autoRemove: features.autoRemove,
        tookMs: Math.round(tookMs),
      },
    ),
  ];
}
