import { createHash, createPublicKey, generateKeyPairSync, sign as signWith } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { buildPayload, findPayloadFault } from '../../../scripts/signing/layout.ts';

/**
 * A signature that cosign itself has made: payload, signature and public key as a registry and a transparency log have
 * published them.
 */
describe('a signature of cosign', () => {
  const recorded = {
    repository: 'localhost:5000/demo',
    digest: 'sha256:2f0249ebb962c1281b791aafe68ec39caa2751eecad1c6a5042cbdc43548d764',
    /** Of the payload. */
    layer: 'sha256:bc59dffae964a8135399a8bc1897d79ac216b01007f52cb8e96a053d04395613',
    size: 235,
    signature:
      'MEYCIQDXkREZ7yk7UEYMoYOhgl8LACNeEoWI3zIkc7EM54TolQIhANYkfFQR7OTWRI0kE3w/T1niR8rfKRc4MVFqOeUgoET7',
    key:
      'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEhc7sBROez+HYHd8oPGByXaS6A6xt' +
      'ULjNz8U5nGcCKRCPO/ClLWWJoHzgJiHuFkmlhyALCWCgj78R0nklX9Le2g==',
  };
  const key = createPublicKey({ key: Buffer.from(recorded.key, 'base64'), format: 'der', type: 'spki' });
  const bytes = buildPayload(recorded.repository, recorded.digest);
  const layer = {
    bytes,
    descriptor: {
      mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
      size: recorded.size,
      digest: recorded.layer,
      annotations: { 'dev.cosignproject.cosign/signature': recorded.signature },
    },
  };

  it('is over the same bytes that are signed here', () => {
    expect(bytes).toHaveLength(recorded.size);
    expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(recorded.layer);
  });

  it('is accepted, and for its own image alone', () => {
    expect(findPayloadFault(layer, recorded.digest, key)).toBeUndefined();
    expect(findPayloadFault(layer, `sha256:${'b'.repeat(64)}`, key)).toBe('is about another image');
    const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    expect(findPayloadFault(layer, recorded.digest, other.publicKey)).toBe('is not signed by this key');
    const kind = Buffer.from(bytes.toString().replace('cosign container image signature', 'something else'));
    const annotations = {
      'dev.cosignproject.cosign/signature': signWith('sha256', kind, other.privateKey).toString('base64'),
    };
    const signedKind = { bytes: kind, descriptor: { ...layer.descriptor, annotations } };
    expect(findPayloadFault(signedKind, recorded.digest, other.publicKey)).toBe(
      'is no signature of an image',
    );
  });
});
