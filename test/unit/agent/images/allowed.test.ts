import { describe, expect, it } from 'vitest';
import { isImageAllowed, judgeName, parseImagesAllowed } from '../../../../src/agent/images/allowed.ts';

const a = `sha256:${'a'.repeat(64)}`;
const b = `sha256:${'b'.repeat(64)}`;

describe('a name', () => {
  it.each([
    // [value, image, verdict]
    ['registry.corp/rancher/', 'registry.corp/rancher/agent:v1', 'allowed'],
    ['registry.corp/rancher/', 'registry.corp/rancher/deep/agent', 'allowed'],
    ['registry.corp/rancher/', `registry.corp/rancher/agent@${a}`, 'allowed'],
    ['registry.corp/rancher/', 'registry.corp/rancher-evil/agent:v1', 'refused'],
    ['registry.corp/rancher/', 'registry.corp/rancher-evil', 'refused'],
    ['registry.corp/rancher/', 'registry.corp/rancher', 'refused'],
    ['registry.corp/rancher/', 'registry.corp/rancher:v1', 'refused'],
    ['registry.corp/rancher/', 'registry.corp/other/rancher/agent', 'refused'],
    ['registry.corp/rancher/', 'registry.corp/rancher/../evil/agent', 'refused'],
    ['registry.corp/rancher/', 'registry.corp/rancher//agent', 'refused'],
    ['registry.corp/rancher/', 'registry.corp/Rancher/agent', 'refused'],
    ['registry.corp/rancher/', 'evil.example/registry.corp/rancher/agent', 'refused'],
    ['registry.corp/rancher/', 'registry.corp.evil.example/rancher/agent', 'refused'],
    ['registry.corp/rancher/', 'registry.corp:5000/rancher/agent', 'refused'],
    ['registry.corp/rancher/', 'registry.corp/rancher/agent:', 'refused'],
    ['registry.corp/rancher/', 'registry.corp/rancher/agent@sha256:12', 'refused'],
    ['registry.corp/rancher/', 'rancher/agent', 'refused'],
    ['registry.corp/rancher/agent', 'registry.corp/rancher/agent:v2', 'allowed'],
    ['registry.corp/rancher/agent', 'registry.corp/rancher/agent/slim', 'allowed'],
    ['registry.corp/rancher/agent', 'registry.corp/rancher/agent-evil', 'refused'],
    ['registry.corp/rancher', 'registry.corp/rancher/agent', 'allowed'],
    ['registry.corp/rancher/agent:v1', 'registry.corp/rancher/agent:v1', 'allowed'],
    ['registry.corp/rancher/agent:v1', 'registry.corp/rancher/agent:v11', 'refused'],
    ['registry.corp/rancher/agent:v1', 'registry.corp/rancher/agent', 'refused'],
    ['registry.corp/rancher/agent:v1', 'registry.corp/rancher/agent/x:v1', 'refused'],
    ['registry.corp/rancher/agent:v1', `registry.corp/rancher/agent:v1@${a}`, 'refused'],
    ['registry.corp/rancher/agent:latest', 'registry.corp/rancher/agent', 'allowed'],
    ['registry.corp:5000/', 'registry.corp:5000/any/thing:v1', 'allowed'],
    ['registry.corp:5000/', 'registry.corp:50001/any/thing:v1', 'refused'],
    ['localhost/', 'localhost/agent', 'allowed'],
    ['rancher/', 'rancher/agent:v1', 'allowed'],
    ['rancher/', 'docker.io/rancher/agent:v1', 'allowed'],
    ['rancher/agent', 'index.docker.io/rancher/agent:v1', 'allowed'],
    ['rancher/', 'evil.example/rancher/agent', 'refused'],
    ['docker.io/library/', 'ubuntu:22.04', 'allowed'],
    ['docker.io/library/', 'rancher/agent', 'refused'],
    // An engine could take these for ids, whatever they are.
    ['docker.io/library/', 'deadbeef', 'refused'],
    ['docker.io/library/', a, 'refused'],
    [a, a, 'allowed'],
    [a, b, 'refused'],
    [a, `any.example/thing@${a}`, 'allowed'],
    [a, `any.example/thing:v1@${a}`, 'allowed'],
    [a, 'any.example/thing:v1', 'depends on the digest'],
    [`${b}, registry.corp/rancher/`, 'registry.corp/rancher/agent', 'allowed'],
    [`${b}, registry.corp/rancher/`, 'registry.corp/rancher-evil', 'depends on the digest'],
    ['  registry.corp/rancher/ , rancher/agent ', 'rancher/agent:v1', 'allowed'],
  ])('%s: %s is %s', (value, image, verdict) => {
    const policy = parseImagesAllowed(value);
    expect(policy.kind).toBe('rules');
    expect(judgeName(policy, image)).toBe(verdict);
  });

  it('is always allowed where nothing is set', () => {
    expect(judgeName(parseImagesAllowed(undefined), 'EVIL')).toBe('allowed');
  });
});

describe('an image on this host', () => {
  const image = { id: b, repoDigests: [`registry.corp/rancher/agent@${a}`] };

  it.each([
    ['the digest that it was pulled by, after a pull by tag', a, image, true],
    ['its id', b, image, true],
    ['neither', `sha256:${'c'.repeat(64)}`, image, false],
    ['neither: loaded from a file, it has no digest', a, { id: b, repoDigests: [] }, false],
    ['neither, in a longer list', `rancher/, sha256:${'c'.repeat(64)}`, image, false],
    ['neither: its prefix is another', 'rancher/', image, false],
    ['its prefix, whatever the digest', 'registry.corp/', image, true],
  ])('matches %s', (_what, value, present, isAllowed) => {
    expect(isImageAllowed(parseImagesAllowed(value), 'registry.corp/rancher/agent:v1', present)).toBe(
      isAllowed,
    );
  });
});

describe('a value that is not understood', () => {
  it.each([
    ['', 'an entry is empty'],
    [' ', 'an entry is empty'],
    ['rancher/,', 'an entry is empty'],
    [',', 'an entry is empty'],
    ['/', 'is not understood'],
    ['*', 'write REGISTRY/'],
    ['rancher/*', 'is not understood'],
    ['rancher', 'write REGISTRY/'],
    ['registry.corp', 'write REGISTRY/'],
    ['registry.corp:5000', 'write REGISTRY/'],
    ['rancher/ ghcr.io/', 'with commas'],
    ['rancher/;ghcr.io/', 'with commas'],
    ['https://registry.corp/', 'is not understood'],
    ['registry.corp/../', 'is not understood'],
    ['registry.corp//', 'is not understood'],
    ['Registry.corp/Rancher/', 'lower case'],
    ['sha256:12', 'a digest is sha256: and 64 hexadecimal digits'],
    [`sha256:${'A'.repeat(64)}`, 'a digest is sha256: and 64 hexadecimal digits'],
    [`rancher/agent@${a}`, 'write the digest alone'],
    ['rancher/agent:', 'is not understood'],
    [`rancher/, ${a}, x`, '"x"'],
    ['x'.repeat(100_000), 'x" is not understood'],
  ])('%.60s allows no image, and says why', (value, words) => {
    const policy = parseImagesAllowed(value);
    expect(policy).toMatchObject({ kind: 'malformed', problem: expect.stringContaining(words) as string });
    if (policy.kind === 'malformed') expect(policy.problem.length).toBeLessThan(300);
    for (const image of ['rancher/agent', 'registry.corp/rancher/agent', a, '', '/'])
      expect(judgeName(policy, image)).toBe('refused');
    expect(isImageAllowed(policy, 'rancher/agent', { id: a, repoDigests: [] })).toBe(false);
  });
});
