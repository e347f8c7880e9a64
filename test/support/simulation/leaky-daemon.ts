/**
 * An engine on a real Unix socket, with as many leaked helpers as wanted, because a test cannot make a real engine hold
 * as many: 100,000 containers, or one with a million labels. It keeps nothing of a container but whether it was
 * removed.
 */
import { createServer, type ServerResponse } from 'node:http';
import { once } from 'node:events';

export interface LeakyDaemon {
  /** Containers that are still there. */
  readonly left: () => number;
  readonly removals: () => number;
  stop(): Promise<void>;
}

export interface LeakyDaemonOptions {
  readonly leaked: number;
  /** Labels of one more container, which is no helper. */
  readonly labels?: number;
  /** What `/info` says beside the driver. */
  readonly info?: object;
  /** Answers a removal in place of the engine. */
  readonly onRemove?: (response: ServerResponse, id: string) => void;
}

const created = Date.parse('2016-07-01T12:00:00Z');
const image = `sha256:${'5'.repeat(64)}`;
const system = { 'io.rancher.container.system': 'rancher-agent' };

/** @param socketPath where it listens */
export async function startLeakyDaemon(
  socketPath: string,
  options: LeakyDaemonOptions,
): Promise<LeakyDaemon> {
  const removed = new Set<number>();
  let removals = 0;
  const server = createServer((request, response) => {
    const { method = '', url = '' } = request;
    request.resume();
    const path = (url.split('?')[0] ?? '').replace(/^\/v1\.\d+/, '');
    const id = /^\/containers\/([0-9a-f]{64})/.exec(path)?.[1];
    if (path === '/version') send(response, { Version: '20.10.24', ApiVersion: '1.41' });
    else if (path === '/info') send(response, { Driver: 'overlay2', DockerRootDir: '/', ...options.info });
    else if (path === '/containers/json') void sendList(response, url, options, removed);
    else if (path.startsWith('/images/')) send(response, { Id: image, Config: { Labels: system } });
    else if (id === undefined || removed.has(numberOf(id)))
      send(response, { message: 'no such container' }, 404);
    else if (method === 'DELETE') {
      removals += 1;
      if (options.onRemove !== undefined) {
        options.onRemove(response, id);
        return;
      }
      removed.add(numberOf(id));
      response.writeHead(204).end();
    } else send(response, inspectionOf(numberOf(id)));
  });
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    left: () => options.leaked - removed.size,
    removals: () => removals,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function send(response: ServerResponse, body: object, status = 200): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

/** A list by names or ids is empty: nothing here has a name of a role. */
async function sendList(
  response: ServerResponse,
  url: string,
  { leaked, labels = 0 }: LeakyDaemonOptions,
  removed: ReadonlySet<number>,
): Promise<void> {
  response.writeHead(200, { 'Content-Type': 'application/json' });
  const filters = new URL(url, 'http://engine').searchParams.get('filters') ?? '';
  const write = async (text: string): Promise<void> => {
    if (!response.write(text)) await once(response, 'drain');
  };
  const pieces: string[] = ['['];
  let first = true;
  const separator = (): string => {
    const text = first ? '' : ',';
    first = false;
    return text;
  };
  if (!/"(name|id)"/.test(filters)) {
    if (labels > 0) {
      await write(`[${separator()}${JSON.stringify(entryOf(1e9, { Image: 'busybox' })).slice(0, -2)}`);
      pieces.length = 0;
      for (let index = 0; index < labels; index += 1) {
        pieces.push(`,"${index.toString(36)}":""`);
        if (pieces.length >= 1_000) await write(pieces.splice(0).join(''));
      }
      pieces.push('}}');
    }
    for (let number = leaked - 1; number >= 0; number -= 1) {
      if (removed.has(number)) continue;
      pieces.push(separator() + JSON.stringify(entryOf(number)));
      if (pieces.length >= 100) await write(pieces.splice(0).join(''));
    }
  }
  response.end(`${pieces.join('')}]`);
}

function idOf(number: number): string {
  return number.toString(16).padStart(64, '0');
}

function numberOf(id: string): number {
  return Number.parseInt(id, 16);
}

/** As engines of today list one; the labels come last, so that more can follow. */
function entryOf(number: number, parts: object = {}): object {
  return {
    Id: idOf(number),
    Names: [`/angry_darwin${number % 10}`],
    Image: 'rancher/agent:v1.0.2',
    ImageID: image,
    Command: '/run.sh inspect-host',
    Created: created / 1000 + number,
    Ports: [],
    State: 'exited',
    Status: 'Exited (0) 10 years ago',
    HostConfig: { NetworkMode: 'default' },
    NetworkSettings: { Networks: { bridge: { NetworkID: 'b'.repeat(64), EndpointID: '', Gateway: '' } } },
    Mounts: [
      {
        Type: 'bind',
        Source: '/var/run',
        Destination: '/var/run',
        Mode: '',
        RW: true,
        Propagation: 'rprivate',
      },
      {
        Type: 'bind',
        Source: '/var/lib',
        Destination: '/var/lib',
        Mode: '',
        RW: true,
        Propagation: 'rprivate',
      },
    ],
    ...parts,
    Labels: system,
  };
}

function inspectionOf(number: number): object {
  return {
    Id: idOf(number),
    Name: `/angry_darwin${number % 10}`,
    Image: image,
    Created: '2016-07-01T12:00:00Z',
    Path: '/run.sh',
    Args: ['inspect-host'],
    State: { Status: 'exited', FinishedAt: '2016-07-01T12:00:01Z' },
    Config: { Image: 'rancher/agent:v1.0.2', Env: [`A=${'x'.repeat(2000)}`], Labels: system },
    HostConfig: { Binds: ['/var/run:/var/run'], RestartPolicy: { Name: 'no' } },
    GraphDriver: { Data: { MergedDir: `/var/lib/docker/overlay2/${idOf(number)}/merged` } },
  };
}
