import { readFileSync } from 'node:fs';
import { fetchBootstrap } from '../../../../src/control-plane/bootstrap.ts';
import { readApiError } from '../../../../src/control-plane/http/answer.ts';
import { createHttpClient } from '../../../../src/control-plane/http/client.ts';
import { checkCredentials } from '../../../../src/control-plane/credentials.ts';
import { loadRegistrationEnvironment } from '../../../../src/control-plane/registration/environment.ts';
import { parseServerUrl } from '../../../../src/control-plane/url.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { createSecrets } from '../../../../src/support/secrets.ts';

/*
 * A process that asks a hostile server everything that an agent asks, for hostile-server.test.ts. It prints one JSON line with what each
 * question came to.
 */

const [, , url = '', caFile = ''] = process.argv;
const secrets = createSecrets();
const limits = { ...defaultLimits, HTTP_TOTAL: 10_000, SERVER_TRIES: 1, HTTP_TRIES: 1, SERVER_TOTAL: 5_000 };
const parts = { limits, clock: systemClock, log: silentLog, secrets, signal: undefined };
const trust = { ca: [readFileSync(caFile, 'utf8')] };
const client = createHttpClient({ ...parts, environment: {}, trust });
const keys = { accessKey: 'access', secretKey: 'secret-of-a-test' };
// A server on this machine itself is refused before it is asked.
const server = { ...parseServerUrl('https://rancher.example/v1', 'rancher-1.2'), href: `${url}/v1` };

const questions: Readonly<Record<string, () => Promise<unknown>>> = {
  request: async () => readApiError(await client.request({ method: 'GET', url: `${url}/v1` })) ?? 'answered',
  bootstrap: async () => fetchBootstrap(client, `${url}/v1`, keys),
  keys: async () => checkCredentials(client, { cattleUrl: `${url}/v1`, keys }),
  registration: async () =>
    loadRegistrationEnvironment({ ...parts, client }, { server, profile: 'rancher-1.2' }),
};

const answers: Record<string, unknown> = {};
for (const [name, ask] of Object.entries(questions)) {
  const begun = performance.now();
  const answer: unknown = await ask().catch((error: unknown) => String(error));
  answers[name] = { ms: Math.round(performance.now() - begun), says: JSON.stringify(answer) };
}
process.stdout.write(`${JSON.stringify(answers)}\n`);
