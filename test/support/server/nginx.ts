import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A real nginx (Debian's) that speaks TLS, as it stands in front of most Rancher servers. */
export interface Nginx {
  readonly url: string;
  close(): Promise<void>;
}

export interface NginxOptions {
  readonly cert: string;
  readonly key: string;
  /** Further lines of the server's block: `ssl_protocols TLSv1.1;`. */
  readonly lines?: readonly string[];
  /** Diffie-Hellman parameters, in PEM. */
  readonly dhparam?: string;
  /** Where requests are forwarded to. Without it, every request gets 200 and `well`. */
  readonly upstream?: string;
  /** `127.0.0.1` when not given. */
  readonly host?: string;
}

const START_DEADLINE_MS = 10_000;

/** Starts an nginx of its own: a folder, a port, no daemon. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const { host = '127.0.0.1' } = options;
  const folder = await mkdtemp(join(tmpdir(), 'nginx-'));
  const port = await findFreePort(host);
  await writeFile(join(folder, 'cert.pem'), options.cert);
  await writeFile(join(folder, 'key.pem'), options.key, { mode: 0o600 });
  if (options.dhparam !== undefined) await writeFile(join(folder, 'dh.pem'), options.dhparam);
  await writeFile(join(folder, 'nginx.conf'), configure(options, folder, `${host}:${port}`));
  const child = spawn(
    '/usr/sbin/nginx',
    ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  child.once('error', (error) => (complaint += error.message));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const close = async (): Promise<void> => {
    child.kill('SIGQUIT');
    await Promise.race([ended, sleep(2_000)]);
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  const end = Date.now() + START_DEADLINE_MS;
  while (!(await answers(host, port))) {
    if (Date.now() > end || child.exitCode !== null) {
      await close();
      throw new Error(`nginx does not answer on ${host}:${port}: ${complaint}`);
    }
    await sleep(20);
  }
  return { url: `https://${host}:${port}`, close };
}

function configure({ upstream, lines = [], dhparam }: NginxOptions, folder: string, listen: string): string {
  const answer =
    upstream === undefined
      ? ['default_type text/plain;', 'return 200 well;']
      : [
          `proxy_pass ${upstream};`,
          'proxy_set_header Host $http_host;',
          'proxy_set_header X-Forwarded-Proto https;',
          'proxy_set_header X-Forwarded-Port $server_port;',
        ];
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off;
# One process: a test that is killed leaves no second one behind.
master_process off;
pid ${folder}/pid;
error_log ${folder}/error.log;
events {}
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  server {
    listen ${listen} ssl;
    ssl_certificate ${folder}/cert.pem;
    ssl_certificate_key ${folder}/key.pem;
    ${dhparam === undefined ? '' : `ssl_dhparam ${folder}/dh.pem;`}
    ${lines.join('\n    ')}
    location / {
      ${answer.join('\n      ')}
    }
  }
}
`;
}

async function findFreePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

async function answers(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host);
  const hasAnswered = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  });
  socket.destroy();
  return hasAnswered;
}
