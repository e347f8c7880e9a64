/** Where an image comes from, as SLSA provenance v1, out of what the image says about itself. */
import { Failure } from './failure.ts';
import { hexOf, type ImageFacts } from './image.ts';

/** This project has no address yet; both are names and not places. */
export const defaultBuilder = 'urn:rancher-agent-entrypoint:scripts/build-image';
const buildType = 'urn:rancher-agent-entrypoint:build-image:v1';

export interface Provenance {
  readonly buildDefinition: {
    readonly buildType: string;
    readonly externalParameters: Readonly<Record<string, string>>;
    readonly resolvedDependencies: readonly {
      readonly uri: string;
      readonly digest: Readonly<Record<string, string>>;
    }[];
  };
  readonly runDetails: { readonly builder: { readonly id: string } };
}

/** @throws Failure when the image lacks what provenance is made of */
export function describeProvenance({ labels, architecture }: ImageFacts, builder: string): Provenance {
  const revision = labelOf(
    labels,
    'org.opencontainers.image.revision',
    /^[0-9a-f]{40}$/,
    'build it from a commit',
  );
  const base = labelOf(
    labels,
    'org.opencontainers.image.base.name',
    /^\S+$/,
    'build it with scripts/build-image',
  );
  const baseDigest = labelOf(
    labels,
    'org.opencontainers.image.base.digest',
    /^sha256:[0-9a-f]{64}$/,
    'build it with --base NAME@sha256:DIGEST',
  );
  const version = labelOf(
    labels,
    'org.opencontainers.image.version',
    /^\S+$/,
    'build it with scripts/build-image',
  );
  const name = base.replace(/@sha256:.*$/, '');
  return {
    buildDefinition: {
      buildType,
      externalParameters: {
        revision,
        version,
        base: `${name}@${baseDigest}`,
        platform: `linux/${architecture}`,
      },
      resolvedDependencies: [
        { uri: `pkg:generic/rancher-agent-entrypoint@${version}`, digest: { gitCommit: revision } },
        { uri: `docker://${name}`, digest: { sha256: hexOf(baseDigest) } },
      ],
    },
    runDetails: { builder: { id: builder } },
  };
}

function labelOf(
  labels: Readonly<Record<string, string>>,
  name: string,
  pattern: RegExp,
  advice: string,
): string {
  const value = labels[name];
  if (value !== undefined && pattern.test(value)) return value;
  throw new Failure(
    78,
    `the image has ${value === undefined ? 'no' : 'an unusable'} label ${name}: ${advice}`,
  );
}
