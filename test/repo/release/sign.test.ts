import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findSchemaErrors } from '../../support/images/bill.ts';
import {
  findFaults,
  provenanceSchema,
  statementSchema,
  type Envelope,
  type Statement,
} from '../../support/signing/schemas.ts';
import { pushImage, startOciRegistry } from '../../support/signing/oci-registry.ts';
import {
  repository,
  revision,
  baseDigest,
  labels,
  password,
  bcrypted,
  folder,
  registry,
  image,
  digest,
  stageSigning,
  billOf,
  run,
  signed,
  sign,
  verify,
  tag,
  encode,
  isSigned,
} from './signing-stage.ts';

stageSigning();

describe('a signed image', () => {
  it('has a signature where cosign looks for it, which openssl verifies', async () => {
    const result = await sign();
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(result.stdout).toBe(
      `${registry.address}/${repository}:${tag('att')}\n${registry.address}/${repository}:${tag('sig')}\n`,
    );
    const manifest = await registry.getManifest(repository, tag('sig'));
    expect(manifest).toMatchObject({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json' },
      layers: [{ mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json' }],
    });
    const [layer] = manifest.layers;
    const payload = await registry.getBlob(repository, layer?.digest ?? '');
    expect(JSON.parse(payload.toString())).toEqual({
      critical: {
        identity: { 'docker-reference': `${registry.address}/${repository}` },
        image: { 'docker-manifest-digest': digest },
        type: 'cosign container image signature',
      },
      optional: null,
    });
    const signature = layer?.annotations?.['dev.cosignproject.cosign/signature'] ?? '';
    expect(await isSigned(payload, signature)).toBe(true);
    expect(await isSigned(payload, signature, 'other.pub')).toBe(false);
    const config = JSON.parse(
      (await registry.getBlob(repository, manifest.config.digest)).toString(),
    ) as object;
    expect(config).toMatchObject({ rootfs: { type: 'layers', diff_ids: [layer?.digest] } });
  });

  it('has its bill of materials and its provenance as attestations, which openssl verifies', async () => {
    expect(await sign('--builder', 'https://ci.example/builder')).toMatchObject({ status: 0 });
    const { layers } = await registry.getManifest(repository, tag('att'));
    const statements = [];
    for (const { digest: blob, mediaType, annotations } of layers) {
      expect(mediaType).toBe('application/vnd.dsse.envelope.v1+json');
      const envelope = JSON.parse((await registry.getBlob(repository, blob)).toString()) as Envelope;
      expect(envelope).toMatchObject({
        payloadType: 'application/vnd.in-toto+json',
        signatures: [{ keyid: '' }],
      });
      const payload = Buffer.from(envelope.payload, 'base64');
      const signature = envelope.signatures[0]?.sig ?? '';
      expect(await isSigned(encode(envelope.payloadType, payload), signature)).toBe(true);
      expect(await isSigned(payload, signature)).toBe(false);
      const statement = JSON.parse(payload.toString()) as Statement;
      expect(findFaults(statementSchema, statement)).toEqual([]);
      expect(annotations).toEqual({
        'dev.cosignproject.cosign/signature': '',
        predicateType: statement.predicateType,
      });
      expect(statement.subject).toEqual([
        { name: `${registry.address}/${repository}`, digest: { sha256: digest.replace('sha256:', '') } },
      ]);
      statements.push(statement);
    }
    const [bill, provenance, ...others] = statements;
    expect(others).toEqual([]);
    expect(bill?.predicateType).toBe('https://cyclonedx.org/bom');
    expect(await findSchemaErrors(JSON.stringify(bill?.predicate))).toBeNull();
    expect(bill?.predicate).toEqual(billOf('amd64'));
    expect(provenance?.predicateType).toBe('https://slsa.dev/provenance/v1');
    expect(findFaults(provenanceSchema, provenance?.predicate)).toEqual([]);
    expect(provenance?.predicate).toMatchObject({
      buildDefinition: {
        externalParameters: {
          revision,
          base: `rancher/agent:v1.2.11@${baseDigest}`,
          platform: 'linux/amd64',
        },
        resolvedDependencies: [{ digest: { gitCommit: revision } }, { digest: { sha256: 'b'.repeat(64) } }],
      },
      runDetails: { builder: { id: 'https://ci.example/builder' } },
    });
    expect(await verify()).toMatchObject({
      status: 0,
      stdout:
        'signature: signed by this key\ncyclonedx: signed by this key\nslsaprovenance1: signed by this key\n',
    });
  });

  it('keeps the signatures of other keys, and has each of its own once', async () => {
    const other = ['--key', 'other.key', '--sbom', 'sbom.cdx.json', image];
    for (const args of [other, [...signed, image], [...signed, image]])
      expect(await run(args)).toMatchObject({ status: 0 });
    expect((await registry.getManifest(repository, tag('sig'))).layers).toHaveLength(2);
    expect((await registry.getManifest(repository, tag('att'))).layers).toHaveLength(4);
    expect(await verify('key.pub')).toMatchObject({ status: 0 });
    expect(await verify('other.pub')).toMatchObject({ status: 0 });
  });

  it('is signed through a login, which docker has written', async () => {
    const login = `ops:${password}`;
    const guarded = await startOciRegistry({ htpasswd: `ops:${bcrypted}\n`, login });
    try {
      const digestThere = await pushImage(guarded, repository, labels);
      const name = `${guarded.address}/${repository}@${digestThere}`;
      const refused = await run([...signed, name]);
      expect(refused).toMatchObject({ status: 77 });
      expect(refused.stderr).toContain('docker login');
      await mkdir(join(folder, 'docker'));
      const auths = { [guarded.address]: { auth: Buffer.from(login).toString('base64') } };
      await writeFile(join(folder, 'docker/config.json'), JSON.stringify({ auths }));
      const environment = { DOCKER_CONFIG: join(folder, 'docker') };
      const result = await run([...signed, name], environment);
      expect(result, result.stderr).toMatchObject({ status: 0 });
      expect(await run(['--verify', '--key', 'key.pub', name], environment)).toMatchObject({ status: 0 });
    } finally {
      await guarded.close();
    }
  });
});

describe('nothing is signed', () => {
  it.each([
    ['by a tag', () => [...signed, `${registry.address}/${repository}:v1`], 64, 'is no NAME@sha256:DIGEST'],
    ['without a key', () => ['--sbom', 'sbom.cdx.json', image], 64, '--key FILE is missing'],
    ['without a bill of materials', () => ['--key', 'plain.key', image], 64, '--sbom FILE is missing'],
    ['with an unknown option', () => [...signed, '--kei', 'x', image], 64, "Unknown option '--kei'"],
    [
      'with a public key',
      () => ['--key', 'key.pub', '--sbom', 'sbom.cdx.json', image],
      78,
      'is no private key in PEM',
    ],
    [
      'with a file that is not there',
      () => ['--key', 'none', '--sbom', 'sbom.cdx.json', image],
      78,
      '(ENOENT)',
    ],
    [
      'without the password',
      () => ['--key', 'key.pem', '--sbom', 'sbom.cdx.json', image],
      78,
      'is encrypted',
    ],
    [
      'with a wrong password',
      () => ['--key', 'key.pem', '--password-file', 'sbom.cdx.json', '--sbom', 'sbom.cdx.json', image],
      78,
      'the password is wrong',
    ],
    [
      'for an image that is not there',
      () => [...signed, image.replace(digest, baseDigest)],
      78,
      'push the image first',
    ],
    [
      'where no registry answers',
      () => [...signed, image.replace(registry.address, '127.0.0.1:1')],
      69,
      'does not answer',
    ],
  ])('%s', async (_what, args, status, words) => {
    const result = await run(args());
    expect(result).toMatchObject({ status, stdout: '' });
    expect(result.stderr).toContain(words);
    await expect(registry.getManifest(repository, tag('sig'))).rejects.toThrow('404');
  });

  it('with the bill of materials of another image', async () => {
    await writeFile(join(folder, 'arm64.cdx.json'), JSON.stringify(billOf('arm64')));
    const result = await run(['--key', 'plain.key', '--sbom', 'arm64.cdx.json', image]);
    expect(result).toMatchObject({ status: 78 });
    expect(result.stderr).toContain('its architecture is arm64, the image has amd64');
    await expect(registry.getManifest(repository, tag('att'))).rejects.toThrow('404');
  });

  it('for an image whose base nobody knows', async () => {
    const rest = Object.entries(labels).filter(([name]) => !name.endsWith('.base.digest'));
    const unknown = await pushImage(registry, repository, Object.fromEntries(rest));
    const result = await run([...signed, `${registry.address}/${repository}@${unknown}`]);
    expect(result).toMatchObject({ status: 78 });
    expect(result.stderr).toContain('build it with --base NAME@sha256:DIGEST');
  });

  it('with a key on another curve', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
    await writeFile(join(folder, 'p384.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const result = await run(['--key', 'p384.key', '--sbom', 'sbom.cdx.json', image]);
    expect(result).toMatchObject({ status: 78 });
    expect(result.stderr).toContain('no ECDSA key on the curve P-256');
  });
});

it('neither the key nor its password is in an argument, in the output, or in what is stored', async () => {
  const key = await readFile(join(folder, 'plain.key'), 'utf8');
  const typed = await run(['--key', key, '--sbom', 'sbom.cdx.json', image]);
  expect(typed).toMatchObject({ status: 64 });
  const results = [
    typed,
    await sign(),
    await verify(),
    await run([...signed, '--password-file', 'none', image]),
  ];
  const stored = [];
  for (const kind of ['sig', 'att'] as const) {
    const manifest = await registry.getManifest(repository, tag(kind));
    stored.push(JSON.stringify(manifest));
    for (const { digest: blob } of manifest.layers)
      stored.push((await registry.getBlob(repository, blob)).toString());
  }
  const text = [...results.flatMap(({ stdout, stderr }) => [stdout, stderr]), ...stored].join('\n');
  const lines = `${key}\n${await readFile(join(folder, 'key.pem'), 'utf8')}`.split('\n');
  for (const secret of [password, ...lines.filter((line) => line.length > 20 && !line.startsWith('-----'))])
    expect(text).not.toContain(secret);
});
