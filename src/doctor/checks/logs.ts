import { formatSize } from '../../host/storage.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Finding } from '../finding.ts';
import type { HostSnapshot } from '../snapshot.ts';

/**
 * Logs of containers that fill the disk of the Docker root: json-file has no end unless somebody sets one. Without such a log, or
 * where none can be seen, there is no line; the one about the disk says what cannot be seen.
 */
export function checkLogs({ logs }: Pick<HostSnapshot, 'logs'>, limits: Limits): readonly Finding[] {
  if (!logs.known) return [];
  const [largest] = logs.value;
  if (largest === undefined) return [];
  const named = logs.value
    .slice(0, limits.DOCTOR_NAMED)
    .map(({ name, bytes }) => `${name} (${formatSize(bytes)})`);
  const rest = logs.value.length - named.length;
  return [
    {
      check: 'storage',
      level: 'warning',
      text: `large logs of containers: ${named.join(', ')}${rest === 0 ? '' : ` and ${rest} more`}`,
      cause: 'log-large',
      advice:
        `To have the space back: truncate -s 0 ${largest.path}. So that a log has an end, create its container again with ` +
        '--log-opt max-size=10m --log-opt max-file=5, or set both in /etc/docker/daemon.json. An upgrade does it for the agent.',
      figures: { logs: logs.value.length, largestBytes: largest.bytes },
    },
  ];
}
