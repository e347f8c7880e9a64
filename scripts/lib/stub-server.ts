import { parseArgs } from 'node:util';
import { certificates } from '../../test/support/server/certificates.ts';
import { endpointNames } from '../../test/support/server/stub/stub-api.ts';
import { startStubServer } from '../../test/support/server/stub/stub-server.ts';
import {
  describeSwitches,
  fingerprints,
  parseSwitch,
  throwSwitch,
} from '../../test/support/server/stub/stub-switches.ts';

const help = `Usage: scripts/stub-server [options] [SWITCH…]

A stand-in for a Rancher 1.6 server. Prints the registration URL and every request it gets. Lines typed on its
standard input are switches as well; an empty line makes it a healthy server again.

  --listen ADDRESS[:PORT]    where to listen (default 0.0.0.0:8080; port 0: any that is free)
  --required-image IMAGE     the agent image it requires (default rancher/agent:v1.2.11); given several
                             times, the images alternate from request to request
  --auth on|off              access control (default off)
  --bootstrap KIND           what the bootstrap script does: exits, fails, runs-long (default runs-long)
  --token TOKEN              the registration token
  --tls server|expired|other-name
                             https, with a certificate of the test authority for 127.0.0.1 and the gateways of the
                             test hosts, an expired one, or one for another name; serves /scripts/ca.crt
  --help                     this text

A SWITCH is [ENDPOINT:]NAME[=VALUE][*TIMES][+AFTER]: what goes wrong, with which requests (any when not given), how
often before it clears (for ever when not given), and how many requests go well before. For example:

  scripts/stub-server 'script:reset*2' 'register-list:status=503,html*1' auth=on

${describeSwitches()}

ENDPOINT is any or one of ${endpointNames.join(', ')}.

The address shown is 127.0.0.1 when listening on all; the agent refuses localhost, so replace it by an
address of this machine.
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    listen: { type: 'string', default: '0.0.0.0:8080' },
    'required-image': { type: 'string', multiple: true },
    auth: { type: 'string', default: 'off' },
    bootstrap: { type: 'string', default: 'runs-long' },
    token: { type: 'string' },
    tls: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const tlsCertificates: Readonly<Record<string, { readonly cert: string; readonly key: string }>> = {
  server: certificates.server,
  expired: certificates.expired,
  'other-name': certificates.otherName,
};

if (values.help) {
  process.stdout.write(help);
} else {
  try {
    await serve();
  } catch (error) {
    process.stderr.write(`stub-server: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 64;
  }
}

async function serve(): Promise<void> {
  for (const text of positionals) parseSwitch(text);
  const [, host = '0.0.0.0', port = '8080'] = /^(.*?)(?::(\d+))?$/.exec(values.listen) ?? [];
  const tls = values.tls === undefined ? undefined : tlsCertificates[values.tls];
  if (values.tls !== undefined && tls === undefined) throw new Error(`no such certificate: ${values.tls}`);
  const stub = await startStubServer({
    host,
    port: Number(port),
    auth: values.auth === 'on' ? 'on' : 'off',
    bootstrapRun:
      values.bootstrap === 'exits' || values.bootstrap === 'fails' ? values.bootstrap : 'runs-long',
    ...(tls === undefined ? {} : { tls, caCertificate: certificates.authority }),
    ...(values['required-image'] === undefined ? {} : { requiredImages: values['required-image'] }),
    ...(values.token === undefined ? {} : { registrationTokenText: values.token }),
    onRequest: ({ method, url, endpoint }) => process.stdout.write(`${method} ${url}  (${endpoint})\n`),
  });
  process.stdout.write(`registration URL: ${stub.registrationUrl}\n`);
  if (tls !== undefined) process.stdout.write(`CA_FINGERPRINT: ${fingerprints.authority}\n`);
  for (const text of positionals) await throwSwitch(stub, text);
  process.stdin.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString().replace(/\n$/, '').split('\n')) {
      turn(line.trim()).catch((error: unknown) => {
        process.stdout.write(`${error instanceof Error ? error.message : String(error)}\n`);
      });
    }
  });
  const end = (): void => {
    process.stdin.destroy();
    void stub.close();
  };
  process.once('SIGINT', end);
  process.once('SIGTERM', end);

  async function turn(line: string): Promise<void> {
    if (line === '') await stub.heal();
    else await throwSwitch(stub, line);
  }
}
