import type { KeyObject } from 'node:crypto';
import { refuse } from './failure.ts';
import { readImage, readLayers, type ImageName } from './image.ts';
import {
  envelopeType,
  findPayloadFault,
  payloadType,
  predicateTypes,
  readStatement,
  tagOf,
  type Descriptor,
  type PredicateName,
} from './layout.ts';
import type { Registry } from './registry.ts';

/**
 * Checks that the key has signed the image, its bill of materials and its provenance.
 * @returns a line for each
 * @throws Failure for the first one that is missing or wrong
 */
export async function verifyImage(
  registry: Registry,
  image: ImageName,
  key: KeyObject,
): Promise<readonly string[]> {
  await readImage(registry, image);
  await verifySignature(registry, image, key);
  const names = Object.keys(predicateTypes) as readonly PredicateName[];
  const found = await findAttestations(registry, image, key);
  for (const name of names) {
    if (!found.types.has(predicateTypes[name]))
      throw refuse(`${name}: no attestation by this key${found.reasons}`);
  }
  return ['signature', ...names].map((name) => `${name}: signed by this key`);
}

async function verifySignature(registry: Registry, image: ImageName, key: KeyObject): Promise<void> {
  const layers = (await readLayers(registry, tagOf(image.digest, 'sig'))).filter(isOfType(payloadType));
  const faults: string[] = [];
  for (const descriptor of layers) {
    const fault = findPayloadFault(
      { descriptor, bytes: await registry.readBlob(descriptor.digest) },
      image.digest,
      key,
    );
    if (fault === undefined) return;
    faults.push(fault);
  }
  throw refuse(`signature: none by this key${reasonsOf(faults)}`);
}

async function findAttestations(
  registry: Registry,
  image: ImageName,
  key: KeyObject,
): Promise<{ readonly types: ReadonlySet<string>; readonly reasons: string }> {
  const types = new Set<string>();
  const faults: string[] = [];
  for (const { digest } of (await readLayers(registry, tagOf(image.digest, 'att'))).filter(
    isOfType(envelopeType),
  )) {
    const read = readStatement(await registry.readBlob(digest), image.digest, key);
    if ('statement' in read) types.add(read.statement.predicateType);
    else faults.push(read.fault);
  }
  return { types, reasons: reasonsOf(faults) };
}

function isOfType(mediaType: string): (descriptor: Descriptor) => boolean {
  return (descriptor) => descriptor.mediaType === mediaType;
}

function reasonsOf(faults: readonly string[]): string {
  return faults.length === 0 ? '' : ` (one ${[...new Set(faults)].join(', one ')})`;
}
