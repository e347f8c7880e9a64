import { isMetadataFull, parseDevicemapper } from '../../host/storage.ts';
import type { PoolMode } from '../../host/pool-mode.ts';
import type { Finding } from '../finding.ts';
import type { HostSnapshot } from '../snapshot.ts';

const readOnlyRoots = 'Then restart the agent, whose root became read-only.';

/**
 * A devicemapper pool that the kernel lets nobody write to, although its metadata is not full: that is in the line about its use.
 * Without the kernel's word there is no line.
 */
export function checkPoolMode({
  info,
  poolMode,
}: Pick<HostSnapshot, 'info' | 'poolMode'>): readonly Finding[] {
  if (!poolMode.known || poolMode.value === undefined || poolMode.value.mode === 'rw') return [];
  const { mode, needsCheck } = poolMode.value;
  const isFull = info.known && isMetadataFull(parseDevicemapper(info.value.driverStatus));
  if (mode === 'ro' && !needsCheck && isFull) return [];
  return [
    {
      check: 'pool',
      level: 'unhealthy',
      text: `the kernel says about the pool: ${describe(poolMode.value)}`,
      cause: 'pool-read-only',
      advice: adviceFor(poolMode.value),
      figures: { mode, needsCheck },
    },
  ];
}

function describe({ mode, needsCheck }: PoolMode): string {
  const words = {
    rw: 'it works',
    ro: 'it is read-only',
    'out-of-data': 'it has no data space left',
    failed: 'it has failed',
  } as const;
  return needsCheck ? `${words[mode]}, and needs a check` : words[mode];
}

function adviceFor({ mode, needsCheck }: PoolMode): string {
  if (needsCheck || mode === 'failed')
    return (
      'Remove nothing. Stop docker and docker.socket, extend the metadata, then repair the pool: docs/runbook.md, "The ' +
      'metadata of the pool is full".'
    );
  if (mode === 'out-of-data')
    return `Extend the pool, which works while it is in use: lvextend. ${readOnlyRoots}`;
  return `Look for the reason: dmesg | grep -i thin. Extend the pool, which works while it is in use. ${readOnlyRoots}`;
}
