import { describe, expect, it } from 'vitest';
import type { Envelope } from '../../support/signing/schemas.ts';
import { pushImage, sha256 } from '../../support/signing/oci-registry.ts';
import { repository, labels, registry, digest, stageSigning, sign, verify, tag } from './signing-stage.ts';

stageSigning();

describe('a verification refuses', () => {
  it('an image that nobody has signed', async () => {
    expect(await verify()).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'sign: signature: none by this key\n',
    });
  });

  it('another key', async () => {
    await sign();
    const result = await verify('other.pub');
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(result.stderr).toContain('signature: none by this key (one is not signed by this key)');
  });

  it('signatures that were copied from another image', async () => {
    await sign();
    const second = await pushImage(registry, repository, { ...labels, count: 'second' });
    for (const kind of ['sig', 'att'] as const)
      await registry.putManifest(
        repository,
        tag(kind, second),
        await registry.getManifest(repository, tag(kind)),
      );
    const result = await verify('key.pub', `${registry.address}/${repository}@${second}`);
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(result.stderr).toContain('signature: none by this key (one is about another image)');
  });

  it('a payload that was changed', async () => {
    await sign();
    const manifest = await registry.getManifest(repository, tag('sig'));
    const [layer] = manifest.layers;
    const payload = (await registry.getBlob(repository, layer?.digest ?? '')).toString();
    const changed = Buffer.from(payload.replace('"optional":null', '"optional":{}'));
    await registry.putBlob(repository, changed);
    const layers = [{ ...layer, size: changed.length, digest: sha256(changed) }];
    await registry.putManifest(repository, tag('sig'), { ...manifest, layers });
    expect(await verify()).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('not signed') as string,
    });
  });

  it.each(['https://cyclonedx.org/bom', 'https://slsa.dev/provenance/v1'])(
    'a statement that was changed: %s',
    async (type) => {
      await sign();
      const manifest = await registry.getManifest(repository, tag('att'));
      const layers = [];
      for (const layer of manifest.layers) {
        if (layer.annotations?.['predicateType'] !== type) {
          layers.push(layer);
          continue;
        }
        const envelope = JSON.parse(
          (await registry.getBlob(repository, layer.digest)).toString(),
        ) as Envelope;
        const statement = Buffer.from(envelope.payload, 'base64').toString().replace('0.1.0', '6.6.6');
        const payload = Buffer.from(statement).toString('base64');
        const bytes = Buffer.from(JSON.stringify({ ...envelope, payload }));
        await registry.putBlob(repository, bytes);
        layers.push({ ...layer, size: bytes.length, digest: sha256(bytes) });
      }
      await registry.putManifest(repository, tag('att'), { ...manifest, layers });
      const result = await verify();
      expect(result).toMatchObject({ status: 1, stdout: '' });
      expect(result.stderr).toContain('no attestation by this key (one is not signed by this key)');
    },
  );

  it('a signed image without attestations', async () => {
    await sign();
    await registry.putManifest(repository, tag('att'), {
      ...(await registry.getManifest(repository, tag('att'))),
      layers: [],
    });
    expect(await verify()).toMatchObject({
      status: 1,
      stderr: 'sign: cyclonedx: no attestation by this key\n',
    });
  });

  it('a registry that gives another image for the digest', async () => {
    const { startRegistryThatLies } = await import('../../support/signing/lying-registry.ts');
    const lying = await startRegistryThatLies();
    try {
      const result = await verify('key.pub', `${lying.address}/${repository}@${digest}`);
      expect(result).toMatchObject({ status: 1, stdout: '' });
      expect(result.stderr).toContain('the registry gives something else for sha256:');
    } finally {
      lying.close();
    }
  });
});
