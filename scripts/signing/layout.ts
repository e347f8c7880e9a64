/**
 * How cosign 2 stores signatures of an image in a registry (its SIGNATURE_SPEC and ATTESTATION_SPEC): as layers of OCI
 * manifests under tags that are made from the digest of the image. `.sig` has simple-signing payloads, `.att` has DSSE
 * envelopes around in-toto statements.
 */
import { dsse } from '@sigstore/core';
import { createHash, type KeyObject } from 'node:crypto';
import { isSignedBy, signBytes } from './keys.ts';

export interface Descriptor {
  readonly mediaType: string;
  readonly size: number;
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Manifest {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** A layer with its bytes. */
export interface Layer {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** An in-toto statement about one image. */
export interface Statement {
  readonly _type: string;
  readonly predicateType: string;
  readonly subject: readonly { readonly name: string; readonly digest: Readonly<Record<string, string>> }[];
  readonly predicate: unknown;
}

export const manifestType = 'application/vnd.oci.image.manifest.v1+json';
export const configType = 'application/vnd.oci.image.config.v1+json';
export const payloadType = 'application/vnd.dev.cosign.simplesigning.v1+json';
export const envelopeType = 'application/vnd.dsse.envelope.v1+json';
export const signatureAnnotation = 'dev.cosignproject.cosign/signature';
const statementMediaType = 'application/vnd.in-toto+json';
/** What cosign 2 writes; it reads newer ones as well. */
const statementType = 'https://in-toto.io/Statement/v0.1';
const signatureKind = 'cosign container image signature';

/** What an attestation says, by the names that `cosign verify-attestation --type` has for it. */
export const predicateTypes = {
  cyclonedx: 'https://cyclonedx.org/bom',
  slsaprovenance1: 'https://slsa.dev/provenance/v1',
} as const;
export type PredicateName = keyof typeof predicateTypes;

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The tag under which signatures (`sig`) or attestations (`att`) of an image are. */
export function tagOf(digest: string, kind: 'sig' | 'att'): string {
  return `${digest.replace(':', '-')}.${kind}`;
}

/** The payload that a signature of an image signs, byte for byte as cosign writes it. */
export function buildPayload(repository: string, digest: string): Buffer {
  const critical = {
    identity: { 'docker-reference': repository },
    image: { 'docker-manifest-digest': digest },
    type: signatureKind,
  };
  return Buffer.from(JSON.stringify({ critical, optional: null }));
}

/** A signed payload. */
export function signPayload(bytes: Buffer, key: KeyObject): Layer {
  return layerOf(bytes, payloadType, { [signatureAnnotation]: signBytes(bytes, key) });
}

/** A statement about an image, in an envelope (DSSE v1) with a signature. */
export function signStatement(
  image: { readonly repository: string; readonly digest: string },
  predicateType: string,
  predicate: unknown,
  key: KeyObject,
): Layer {
  const subject = [{ name: image.repository, digest: { sha256: image.digest.replace('sha256:', '') } }];
  const statement: Statement = { _type: statementType, predicateType, subject, predicate };
  const bytes = Buffer.from(JSON.stringify(statement));
  const sig = signBytes(dsse.preAuthEncoding(statementMediaType, bytes), key);
  const envelope = {
    payloadType: statementMediaType,
    payload: bytes.toString('base64'),
    signatures: [{ keyid: '', sig }],
  };
  return layerOf(Buffer.from(JSON.stringify(envelope)), envelopeType, {
    [signatureAnnotation]: '',
    predicateType,
  });
}

/** Whether the payload is signed by the key, and is about the image. Says what is wrong; undefined if nothing. */
export function findPayloadFault(layer: Layer, digest: string, key: KeyObject): string | undefined {
  const { descriptor, bytes } = layer;
  if (!isSignedBy(bytes, descriptor.annotations?.[signatureAnnotation] ?? '', key))
    return 'is not signed by this key';
  const { critical } = parse(bytes) as { critical?: { type?: unknown; image?: Record<string, unknown> } };
  if (critical?.type !== signatureKind) return 'is no signature of an image';
  return critical.image?.['docker-manifest-digest'] === digest ? undefined : 'is about another image';
}

/**
 * The statement in an envelope, if the key has signed it and it is about the image.
 * @returns otherwise what is wrong
 */
export function readStatement(
  bytes: Buffer,
  digest: string,
  key: KeyObject,
): { readonly statement: Statement } | { readonly fault: string } {
  const envelope = parse(bytes) as {
    payloadType?: unknown;
    payload?: unknown;
    signatures?: readonly { sig?: unknown }[];
  };
  if (envelope.payloadType !== statementMediaType || typeof envelope.payload !== 'string')
    return { fault: 'is no in-toto statement' };
  const payload = Buffer.from(envelope.payload, 'base64');
  const signed = dsse.preAuthEncoding(statementMediaType, payload);
  const signatures = Array.isArray(envelope.signatures) ? envelope.signatures : [];
  if (!signatures.some(({ sig }) => typeof sig === 'string' && isSignedBy(signed, sig, key)))
    return { fault: 'is not signed by this key' };
  const statement = parse(payload) as Partial<Statement>;
  const subject: readonly unknown[] = Array.isArray(statement.subject) ? statement.subject : [];
  const isAbout = subject.some(
    (it) => `sha256:${(it as { digest?: { sha256?: string } } | null)?.digest?.sha256 ?? ''}` === digest,
  );
  if (!isAbout || statement.predicateType === undefined) return { fault: 'is about another image' };
  return { statement: statement as Statement };
}

/** A manifest for these layers, and the configuration that it names. */
export function buildManifest(layers: readonly Descriptor[]): {
  readonly manifest: Manifest;
  readonly config: Buffer;
} {
  const none = '0001-01-01T00:00:00Z';
  const config = Buffer.from(
    JSON.stringify({
      architecture: '',
      created: none,
      history: layers.map(() => ({ created: none })),
      os: '',
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
      config: {},
    }),
  );
  const descriptor = { mediaType: configType, size: config.length, digest: digestOf(config) };
  return { manifest: { schemaVersion: 2, mediaType: manifestType, config: descriptor, layers }, config };
}

function layerOf(bytes: Buffer, mediaType: string, annotations: Readonly<Record<string, string>>): Layer {
  return { bytes, descriptor: { mediaType, size: bytes.length, digest: digestOf(bytes), annotations } };
}

/** An object, whatever the bytes are. */
function parse(bytes: Buffer): object {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
