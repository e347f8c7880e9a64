import { describe, expect, it } from 'vitest';
import { describeContainer, isDead, shortId } from '../../../src/engine/containers.ts';

const id = '0123456789ab'.padEnd(64, 'c');

describe('a container in a message', () => {
  it('has the short id that docker ps shows', () => {
    expect(shortId(id)).toBe('0123456789ab');
  });

  it('is named with its short id and its image', () => {
    const container = { name: 'rancher-agent', id, image: 'rancher/agent:v1.2.11' };
    expect(describeContainer(container)).toBe('rancher-agent (0123456789ab, rancher/agent:v1.2.11)');
  });
});

describe('a dead container', () => {
  it.each(['dead', 'removing'] as const)('is one in the state %s', (state) => {
    expect(isDead({ state })).toBe(true);
  });

  it.each(['created', 'running', 'restarting', 'paused', 'exited'] as const)(
    'is not one in the state %s',
    (state) => {
      expect(isDead({ state })).toBe(false);
    },
  );
});
