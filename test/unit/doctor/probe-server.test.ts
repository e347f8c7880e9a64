import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { probeServer } from '../../../src/doctor/probe-server.ts';
import { systemClock } from '../../../src/support/clock.ts';
import { pathsBelow } from '../../../src/support/configuration.ts';
import { createSecrets } from '../../../src/support/secrets.ts';
import { certificates } from '../../support/server/certificates.ts';
import { startStubServer } from '../../support/server/stub/stub-server.ts';
import { shortLimits } from '../../support/server/test-connection.ts';

async function lookAt(tls: { readonly cert: string; readonly key: string }, ca: string, agentConf = '') {
  const folder = await mkdtemp(join(tmpdir(), 'look-server-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, 'etc/ssl'), { recursive: true });
  await writeFile(join(folder, 'etc/ssl/ca.crt'), ca);
  await writeFile(join(folder, 'etc/agent.conf'), agentConf);
  const stub = await startStubServer({ tls });
  onTestFinished(() => stub.close());
  const record = await probeServer({
    environment: {
      CATTLE_URL: `${stub.url}/v1`,
      CATTLE_ACCESS_KEY: 'access',
      CATTLE_SECRET_KEY: 'secretkey',
    },
    paths: pathsBelow(folder),
    limits: { ...shortLimits, HTTP_CONNECT: 4_000, HTTP_TOTAL: 5_000 },
    clock: systemClock,
    secrets: createSecrets(),
    signal: new AbortController().signal,
  });
  return { record, stub };
}

const in2115 = Date.UTC(2115, 0, 1);

it('the certificates of the server and of ca.crt are in the snapshot, each once, with the day when they expire', async () => {
  const { record, stub } = await lookAt(
    certificates.chain,
    certificates.intermediate + certificates.authority,
  );
  expect(record.answer.kind).toBe('answered');
  expect(record.certificates).toEqual([
    { where: 'server', isLeaf: true, name: 'stub chained', endsAt: in2115 },
    { where: 'server', isLeaf: false, name: 'Stub intermediate authority', endsAt: in2115 },
    { where: 'ca.crt', isLeaf: false, name: 'Stub authority', endsAt: in2115 },
  ]);
  expect(record.legacyTls).toBeUndefined();
  // The look at the certificates asks for nothing.
  expect(new Set(stub.requests.map(({ endpoint }) => endpoint))).toEqual(new Set(['configcontent-schema']));
});

it('an expired certificate is in the snapshot although it makes the server untrusted', async () => {
  const { record, stub } = await lookAt(certificates.expired, certificates.authority);
  expect(record.answer).toEqual({ kind: 'none', reason: 'the TLS certificate has expired' });
  expect(record.certificates?.[0]).toEqual({
    where: 'server',
    isLeaf: true,
    name: 'stub expired',
    endsAt: Date.UTC(2016, 0, 1),
  });
  expect(stub.requests).toEqual([]);
});

it('AGENT_TLS_MIN=legacy in agent.conf is in the snapshot', async () => {
  const conf = 'export AGENT_TLS_MIN=legacy\n';
  const { record } = await lookAt(certificates.server, certificates.authority, conf);
  expect(record).toMatchObject({ legacyTls: true, answer: { kind: 'answered' } });
});

it('AGENT_TLS_TRUST=ca.crt in agent.conf is in the snapshot, and counts', async () => {
  const conf = 'export AGENT_TLS_TRUST=ca.crt\n';
  const { record } = await lookAt(certificates.server, certificates.authority, conf);
  expect(record).toMatchObject({ strictTrust: true, https: 'unset', answer: { kind: 'answered' } });
});
