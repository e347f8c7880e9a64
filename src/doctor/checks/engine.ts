import { formatDuration } from '../../support/deadline.ts';
import { fine, type Finding } from '../finding.ts';
import type { HostRecord } from '../snapshot.ts';

/** Whether the engine answers, and what its version means for what older entrypoints leave behind. */
export function checkEngine({ engine }: HostRecord): readonly Finding[] {
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
    : 'no AutoRemove (that is 1.25): who kills `docker run --rm` leaks its container';
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
