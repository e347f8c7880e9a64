import { labels } from '../../../src/agent/identity/roles.ts';
import type { ContainerDetails, ContainerSummary } from '../../../src/engine/engine.ts';

/** One of the 6,000 leaked helpers of the incident, a week later. */
export const now = Date.parse('2016-07-08T00:00:00Z');
const made = Date.parse('2016-07-01T12:00:00Z');
const id = '0123456789ab'.padEnd(64, 'c');
const image = 'rancher/agent:v1.0.2';
const imageLabels = { [labels.system]: 'rancher-agent' };

export const inspectHost: readonly string[] = ['/run.sh', 'inspect-host'];
export const shareMnt: readonly string[] = [
  ...['/run.sh', '--', '/usr/bin/share-mnt', '/var/lib/rancher/volumes', '/var/lib/kubelet'],
  ...['--', 'norun'],
];

export const findGateway: readonly string[] = ['/run.sh', '--', 'ip', 'route', 'get', '8.8.8.8'];

/** As an inspection shows it. */
export function leakedDetails(parts: Partial<ContainerDetails> = {}): ContainerDetails {
  return {
    id,
    name: 'angry_darwin',
    image,
    imageId: 'sha256:1',
    labels: imageLabels,
    environment: {},
    command: inspectHost,
    binds: ['/run:/run', '/var/run:/var/run', '/var/lib:/var/lib'],
    privileged: true,
    state: 'exited',
    exitCode: 0,
    createdAt: made,
    startedAt: made + 500,
    finishedAt: made + 900,
    restartCount: 0,
    restartPolicy: 'no',
    ...parts,
  };
}

/** As a list shows it. */
export function leakedSummary(parts: Partial<ContainerSummary> = {}): ContainerSummary {
  return {
    id,
    name: 'angry_darwin',
    image,
    imageId: 'sha256:1',
    command: inspectHost.join(' '),
    state: 'exited',
    labels: imageLabels,
    createdAt: made,
    ...parts,
  };
}
