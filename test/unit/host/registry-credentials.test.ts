import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRegistryCredentials, type RegistryCredentials } from '../../../src/host/registry-credentials.ts';

const login = (text: string): string => Buffer.from(text).toString('base64');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'docker-config-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function lookUp(config: unknown, reference: string): Promise<RegistryCredentials> {
  await writeFile(join(folder, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  return readRegistryCredentials(folder, reference);
}

describe('credentials for a pull', () => {
  it.each([
    ['mirror.example:5000/rancher/agent:v1', 'mirror.example:5000', 'mirror.example:5000'],
    ['mirror.example/rancher/agent@sha256:0123', 'https://mirror.example/v2/', 'mirror.example'],
    ['localhost/agent', 'localhost', 'localhost'],
    ['rancher/agent:v1', 'https://index.docker.io/v1/', 'index.docker.io'],
    ['docker.io/rancher/agent:v1', 'https://index.docker.io/v1/', 'index.docker.io'],
    ['agent', 'https://index.docker.io/v1/', 'index.docker.io'],
  ])('of %s are those kept for %s', async (reference, address, serveraddress) => {
    const auths = { 'other.example': { auth: login('a:b') }, [address]: { auth: login('ops:pass:word') } };
    expect(await lookUp({ auths }, reference)).toEqual({
      auth: { username: 'ops', password: 'pass:word', serveraddress },
    });
  });

  it('may be a token', async () => {
    const serveraddress = 'mirror.example';
    const auths = { [serveraddress]: { auth: login('<token>:'), identitytoken: 'tok' } };
    expect(await lookUp({ auths }, 'mirror.example/agent')).toEqual({
      auth: { identitytoken: 'tok', serveraddress },
    });
  });

  it.each([
    ['another registry', { auths: { 'other.example': { auth: login('a:b') } } }],
    ['an empty entry', { auths: { 'mirror.example': {} } }],
    ['an entry that is no login', { auths: { 'mirror.example': { auth: '%%%' } } }],
    ['nothing at all', {}],
  ])('are none with %s', async (_, config) => {
    expect(await lookUp(config, 'mirror.example/agent')).toEqual({});
  });

  it('are none without the file', async () => {
    expect(await readRegistryCredentials(join(folder, 'missing'), 'mirror.example/agent')).toEqual({});
  });

  it('that a helper keeps are not had, and that is said', async () => {
    for (const config of [{ credsStore: 'pass' }, { credHelpers: { 'mirror.example': 'ecr-login' } }]) {
      const { auth, problem } = await lookUp(config, 'mirror.example/agent');
      expect(auth).toBeUndefined();
      expect(problem).toMatch(/leaves mirror\.example to a credential helper/);
    }
  });

  it('from a file that is broken are none; what is said quotes nothing of it', async () => {
    const { auth, problem } = await lookUp('{"auths": {"mirror.example": sesame}}', 'mirror.example/agent');
    expect(auth).toBeUndefined();
    expect(problem).toMatch(/config\.json cannot be understood: it is not JSON/);
    const odd = await lookUp({ auths: { 'mirror.example': { auth: ['sesame'] } } }, 'mirror.example/agent');
    expect(odd.problem).toMatch(/cannot be understood/);
    expect(odd.problem).not.toContain('sesame');
  });
});
