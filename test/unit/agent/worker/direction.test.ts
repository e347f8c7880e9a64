import { describe, expect, it } from 'vitest';
import { describeChange, type VersionedImage } from '../../../../src/agent/worker/direction.ts';
import { labels } from '../../../../src/agent/identity/roles.ts';

function image(reference: string, entrypoint?: string, oci?: string): VersionedImage {
  return {
    reference,
    labels: {
      ...(entrypoint === undefined ? {} : { [labels.version]: entrypoint }),
      ...(oci === undefined ? {} : { 'org.opencontainers.image.version': oci }),
    },
  };
}

describe('the direction of an upgrade', () => {
  it.each<[VersionedImage, VersionedImage, RegExp]>([
    [image('rancher/agent:v1.0.2'), image('rancher/agent:v1.2.11'), /^up .* \(1\.0\.2 to 1\.2\.11\)$/],
    [image('rancher/agent:v1.2.11'), image('rancher/agent:v1.2.9'), /^down .* \(1\.2\.11 to 1\.2\.9\)$/],
    [image('a:v1.2'), image('a:v1.2.1'), /^up /],
    [image('a:v1.2.0-rc2'), image('a:v1.2.0-rc10'), /^up /],
    [image('a:v1.2.0-rc2'), image('a:v1.2.0'), /^up /],
    [image('a:v1.2.0'), image('a:v1.2.0-rc2'), /^down /],
    [image('reg:5000/a:v1.0.2'), image('reg:5000/a:v1.0.3'), /^up /],
    // What an image says of itself counts before what somebody called it.
    [image('a:v9.9', '1.0.0'), image('a:v1.1', '2.0.0'), /^up .* \(1\.0\.0 to 2\.0\.0\)$/],
    [image('a:v1.0', '1.0.0', '3.0'), image('a:v1.1', '1.0.0', '2.0'), /^down .* \(3\.0 to 2\.0\)$/],
    [image('a:v1.0', '1.0.0'), image('a:v1.1', '1.0.0'), /^up .* \(1\.0 to 1\.1\)$/],
    [image('a:v1.0'), image('a:v1.1', '7.0.0'), /^up .* \(1\.0 to 1\.1\)$/],
  ])('%j to %j', (from, to, expected) => {
    expect(describeChange(from, to)).toMatch(expected);
    expect(describeChange(from, to)).toContain(`from ${from.reference} to ${to.reference}`);
  });

  it.each<[VersionedImage, VersionedImage]>([
    [image('rancher/agent:test-a', '1.0'), image('rancher/agent:test-b', '1.0')],
    [image('a:latest'), image('a:v1.2.11')],
    [image('a@sha256:0123'), image('a:v1.2.11')],
    [image('localhost:5000/agent'), image('localhost:6000/agent')],
    [image('a:latest', '1.0'), image('a:v2')],
    [image('a:x', 'main'), image('a:x', 'release')],
  ])('%j to %j: is not made up where it can’t be told', (from, to) => {
    expect(describeChange(from, to)).toBe(`from ${from.reference} to ${to.reference}`);
  });
});
