import { parseArgs } from 'node:util';
import { startStubServer } from '../test/support/control-plane/stub-server.ts';

const help = `Usage: scripts/stub-server [options]

A stand-in for a Rancher 1.6 server. Prints the registration URL and every request it gets.

  --listen ADDRESS[:PORT]    where to listen (default 0.0.0.0:8080)
  --required-image IMAGE     the agent image it requires (default rancher/agent:v1.2.11); given several
                             times, the images alternate from request to request
  --auth on|off              access control (default off)
  --bootstrap KIND           what the bootstrap script does: exits, fails, runs-long (default runs-long)
  --token TOKEN              the registration token
  --help                     this text

The address shown is 127.0.0.1 when listening on all; the agent refuses localhost, so replace it by an
address of this machine.
`;

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '0.0.0.0:8080' },
    'required-image': { type: 'string', multiple: true },
    auth: { type: 'string', default: 'off' },
    bootstrap: { type: 'string', default: 'runs-long' },
    token: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  process.stdout.write(help);
} else {
  await serve();
}

async function serve(): Promise<void> {
  const [, host = '0.0.0.0', port = '8080'] = /^(.*?)(?::(\d+))?$/.exec(values.listen) ?? [];
  const stub = await startStubServer({
    host,
    port: Number(port),
    auth: values.auth === 'on' ? 'on' : 'off',
    bootstrapRun:
      values.bootstrap === 'exits' || values.bootstrap === 'fails' ? values.bootstrap : 'runs-long',
    ...(values['required-image'] === undefined ? {} : { requiredImages: values['required-image'] }),
    ...(values.token === undefined ? {} : { registrationTokenText: values.token }),
    onRequest: ({ method, url, endpoint }) => process.stdout.write(`${method} ${url}  (${endpoint})\n`),
  });
  process.stdout.write(`registration URL: ${stub.registrationUrl}\n`);
  const end = (): void => {
    void stub.close();
  };
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
}
