import { expect, it } from 'vitest';
import type { HostSnapshot } from '../../../src/doctor/snapshot.ts';
import { diagnosisOf, known, unknown } from '../fakes/healthy-host.ts';

function logs(...gigabytes: readonly number[]): Partial<HostSnapshot> {
  return {
    logs: known(
      gigabytes.map((size, index) => ({
        name: `web-${index}`,
        bytes: size * 1e9,
        path: `/var/lib/docker/containers/${index}/${index}-json.log`,
      })),
    ),
  };
}

it.each<[string, Partial<HostSnapshot>, readonly string[], number]>([
  ['a log of gigabytes', logs(9.4), ['log-large'], 1],
  ['no such log', logs(), [], 0],
  ['logs that cannot be seen', { logs: unknown('no') }, [], 0],
])('%s', (_title, parts, causes, exitCode) => {
  expect(diagnosisOf(parts)).toMatchObject({ causes, exitCode });
});

it('the line names the largest logs, and the advice the file of the first', () => {
  const { findings } = diagnosisOf(logs(9.4, 5, 3, 2.5, 2));
  const line = findings.find(({ cause }) => cause === 'log-large');
  expect(line?.text).toBe('large logs of containers: web-0 (9.4 GB), web-1 (5 GB), web-2 (3 GB) and 2 more');
  expect(line?.advice).toContain('truncate -s 0 /var/lib/docker/containers/0/0-json.log.');
  expect(line?.figures).toEqual({ logs: 5, largestBytes: 9.4e9 });
});
