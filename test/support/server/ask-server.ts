import { readFileSync } from 'node:fs';
import { explainNetworkError } from '../../../src/control-plane/http/network-reason.ts';
import { messageOf } from '../../../src/support/errors.ts';
import { createTestConnection } from './test-connection.ts';

/*
 * A process of its own that asks a server once, with the product's client: node ask-server.ts URL [CA_FILE…]. It prints
 * `answered`, or why not. What Node reads of its environment only at start (`SSL_CERT_FILE`, `NODE_TLS_REJECT_UNAUTHORIZED`)
 * can be tried in no other way.
 */
const [url = '', ...files] = process.argv.slice(2);
const { AGENT_TLS_TRUST = '', https_proxy = '' } = process.env;
const { client } = createTestConnection({
  trust: { ca: files.map((file) => readFileSync(file, 'utf8')) },
  environment: { AGENT_TLS_TRUST, https_proxy },
  limits: { HTTP_CONNECT: 4_000, HTTP_TOTAL: 5_000 },
});
try {
  const { status } = await client.request({ method: 'GET', url });
  console.log(`answered ${status}`);
} catch (error) {
  console.log(`${explainNetworkError(error).kind}: ${messageOf(error)}`);
}
