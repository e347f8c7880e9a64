import { describe, expect, it } from 'vitest';
import { registryOf } from '../../../src/engine/registry-auth.ts';

describe('the registry of an image', () => {
  it.each([
    ['rancher/agent', 'index.docker.io'],
    ['agent', 'index.docker.io'],
    ['docker.io/rancher/agent', 'index.docker.io'],
    ['registry.example/agent', 'registry.example'],
    ['registry:5000/agent', 'registry:5000'],
    ['localhost/agent', 'localhost'],
    // An engine asks the host EVIL: Docker Hub's credentials must not go there.
    ['EVIL/agent', 'EVIL'],
    ['eviL/agent', 'eviL'],
    ['Agent', 'index.docker.io'],
  ])('%s is %s', (reference, registry) => {
    expect(registryOf(reference)).toBe(registry);
  });
});
