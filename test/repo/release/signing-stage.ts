import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, vi } from 'vitest';
import { pushImage, startOciRegistry, type OciRegistry } from '../../support/signing/oci-registry.ts';

/* A registry, keys, and for each test an image that nobody has signed yet. */

export const execute = promisify(execFile);
export const root = join(import.meta.dirname, '../../..');
export const repository = 'rancher/agent';
export const revision = '0123456789abcdef0123456789abcdef01234567';
export const baseDigest = `sha256:${'b'.repeat(64)}`;
export const labels = {
  'org.opencontainers.image.revision': revision,
  'org.opencontainers.image.version': '0.1.0',
  'org.opencontainers.image.base.name': 'rancher/agent:v1.2.11',
  'org.opencontainers.image.base.digest': baseDigest,
};
export const password = 'open sesame 42';
/** The same, as htpasswd writes it. */
export const bcrypted = '$2b$05$abcdefghijklmnopqrstuuZFjH57Rl3EXSetbREE0bqBhcUkJQP6u';

export let folder: string;
export let registry: OciRegistry;
/** Name and digest of an image that nobody has signed yet. */
export let image: string;
export let digest: string;
export let count = 0;

/** Prepares the stage of this test file. */
export function stageSigning(): void {
  // Each case starts Node several times.
  vi.setConfig({ testTimeout: 60_000 });
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sign-'));
    registry = await startOciRegistry();
    await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'plain.key');
    await writeFile(join(folder, 'password'), `${password}\n`);
    await openssl('pkcs8', '-topk8', '-in', 'plain.key', '-out', 'key.pem', '-passout', 'file:password');
    await openssl('pkey', '-in', 'plain.key', '-pubout', '-out', 'key.pub');
    await openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'other.key');
    await openssl('pkey', '-in', 'other.key', '-pubout', '-out', 'other.pub');
    await writeFile(join(folder, 'sbom.cdx.json'), JSON.stringify(billOf('amd64')));
  });
  beforeEach(async () => {
    count += 1;
    digest = await pushImage(registry, repository, { ...labels, count: String(count) });
    image = `${registry.address}/${repository}@${digest}`;
  });
  afterAll(async () => {
    await registry.close();
    await rm(folder, { recursive: true, force: true });
  });
}

export async function openssl(...args: readonly string[]): Promise<string> {
  return (await execute('openssl', args, { cwd: folder })).stdout;
}

/** As scripts/image/bill-of-materials.ts writes it, in short. */
export function billOf(architecture: string): object {
  const name = (text: string): string => `rancher-agent-entrypoint:${text}`;
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        type: 'application',
        name: 'rancher-agent-entrypoint',
        version: '0.1.0',
        properties: [
          { name: name('revision'), value: revision },
          { name: name('architecture'), value: architecture },
        ],
      },
    },
  };
}

/** Without the wrapper's installs. @returns exit status and output */
export async function run(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Result> {
  const command = [join(root, 'scripts/signing/main.ts'), '--folder', folder, ...args];
  const env = { PATH: process.env['PATH'], HOME: folder, ...environment };
  try {
    const { stdout, stderr } = await execute(process.execPath, command, { cwd: root, env });
    return { status: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, stdout, stderr };
  }
}

export interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export const signed = ['--key', 'key.pem', '--password-file', 'password', '--sbom', 'sbom.cdx.json'];

export async function sign(...args: readonly string[]): Promise<Result> {
  return run([...signed, ...args, image]);
}

export async function verify(key = 'key.pub', name = image): Promise<Result> {
  return run(['--verify', '--key', key, name]);
}

export function tag(kind: 'sig' | 'att', of = digest): string {
  return `${of.replace(':', '-')}.${kind}`;
}

/** The bytes that an envelope signs (DSSE v1 §"Signature Definition"), written down here a second time. */
export function encode(type: string, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${payload.length} `), payload]);
}

export async function isSigned(bytes: Buffer, signature: string, key = 'key.pub'): Promise<boolean> {
  await writeFile(join(folder, 'bytes'), bytes);
  await writeFile(join(folder, 'signature'), Buffer.from(signature, 'base64'));
  const check = openssl('dgst', '-sha256', '-verify', key, '-signature', 'signature', 'bytes');
  return check.then((text) => text.includes('Verified OK')).catch(() => false);
}
