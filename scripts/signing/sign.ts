import type { KeyObject } from 'node:crypto';
import { Failure } from './failure.ts';
import { readImage, readLayers, type ImageFacts, type ImageName } from './image.ts';
import {
  buildManifest,
  buildPayload,
  findPayloadFault,
  predicateTypes,
  readStatement,
  signPayload,
  signStatement,
  tagOf,
  type Descriptor,
  type Layer,
} from './layout.ts';
import { describeProvenance } from './provenance.ts';
import type { Registry } from './registry.ts';

export interface Signing {
  readonly image: ImageName;
  /** Private; its public half finds earlier signatures of the same key, which are replaced. */
  readonly key: KeyObject;
  readonly publicKey: KeyObject;
  /** Text of the bill of materials. */
  readonly bill: string;
  readonly builder: string;
}

/**
 * Signs an image, its bill of materials and its provenance, and stores the signatures beside it. Signatures of other keys stay.
 * @returns the tags that were written
 */
export async function signImage(registry: Registry, signing: Signing): Promise<readonly string[]> {
  const { image, key } = signing;
  const facts = await readImage(registry, image);
  // All of it before anything is written.
  const bill = readBill(signing.bill, facts);
  const provenance = describeProvenance(facts, signing.builder);
  const attestations = [
    signStatement(image, predicateTypes.cyclonedx, bill, key),
    signStatement(image, predicateTypes.slsaprovenance1, provenance, key),
  ];
  const signature = signPayload(buildPayload(image.repository, image.digest), key);
  // The signature of the image last: it says that the rest is there.
  return [
    await store(registry, signing, 'att', attestations),
    await store(registry, signing, 'sig', [signature]),
  ];
}

/** The bill of materials, if it is this image's. @throws Failure */
function readBill(text: string, { labels, architecture }: ImageFacts): unknown {
  const bill = parseBill(text);
  if (bill.bomFormat !== 'CycloneDX')
    throw new Failure(78, 'the bill of materials is not in the format CycloneDX');
  const { properties = [], version } = bill.metadata?.component ?? {};
  const propertyOf = (name: string): string | undefined =>
    properties.find((it) => it.name === `rancher-agent-entrypoint:${name}`)?.value;
  const pairs = [
    ['revision', propertyOf('revision'), labels['org.opencontainers.image.revision']],
    ['version', version, labels['org.opencontainers.image.version']],
    ['architecture', propertyOf('architecture'), architecture],
  ] as const;
  for (const [what, inBill, inImage] of pairs) {
    if (inBill === inImage && inBill !== undefined) continue;
    throw new Failure(
      78,
      `the bill of materials is of another image: its ${what} is ${inBill ?? '(none)'}, the image has ${inImage ?? '(none)'}`,
    );
  }
  return bill;
}

interface Bill {
  readonly bomFormat?: string;
  readonly metadata?: {
    readonly component?: {
      readonly version?: string;
      readonly properties?: readonly { readonly name: string; readonly value: string }[];
    };
  };
}

function parseBill(text: string): Bill {
  try {
    return JSON.parse(text) as Bill;
  } catch {
    throw new Failure(78, 'the bill of materials is not JSON');
  }
}

async function store(
  registry: Registry,
  { image, publicKey }: Signing,
  kind: 'sig' | 'att',
  added: readonly Layer[],
): Promise<string> {
  const tag = tagOf(image.digest, kind);
  const replaced = new Set(added.map(({ descriptor }) => descriptor.annotations?.['predicateType']));
  const kept: Descriptor[] = [];
  for (const descriptor of await readLayers(registry, tag)) {
    const bytes = await registry.readBlob(descriptor.digest);
    const isOurs =
      kind === 'sig'
        ? findPayloadFault({ descriptor, bytes }, image.digest, publicKey) === undefined
        : isReplaced(readStatement(bytes, image.digest, publicKey), replaced);
    if (!isOurs) kept.push(descriptor);
  }
  for (const { bytes } of added) await registry.writeBlob(bytes);
  const { manifest, config } = buildManifest([...kept, ...added.map(({ descriptor }) => descriptor)]);
  await registry.writeBlob(config);
  await registry.writeManifest(tag, Buffer.from(JSON.stringify(manifest)));
  return tag;
}

function isReplaced(
  read: ReturnType<typeof readStatement>,
  replaced: ReadonlySet<string | undefined>,
): boolean {
  return 'statement' in read && replaced.has(read.statement.predicateType);
}
