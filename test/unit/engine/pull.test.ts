import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { followPull, pullQuery } from '../../../src/engine/pull.ts';

describe('an image’s reference', () => {
  it.each([
    ['rancher/agent', 'rancher/agent', 'latest'],
    ['rancher/agent:v1.2.11', 'rancher/agent', 'v1.2.11'],
    ['localhost:5000/rancher/agent', 'localhost:5000/rancher/agent', 'latest'],
    ['localhost:5000/rancher/agent:v1', 'localhost:5000/rancher/agent', 'v1'],
    ['rancher/agent@sha256:0123', 'rancher/agent', 'sha256:0123'],
    ['localhost:5000/rancher/agent@sha256:0123', 'localhost:5000/rancher/agent', 'sha256:0123'],
    ['rancher/agent:v1@sha256:0123', 'rancher/agent', 'sha256:0123'],
  ])('%s is pulled from %s, %s', (reference, fromImage, tag) => {
    expect(pullQuery(reference)).toEqual({ fromImage, tag });
  });
});

describe('a pull’s progress', () => {
  const follow = async (chunks: readonly (string | Buffer)[]): Promise<string[]> => {
    const told: string[] = [];
    await followPull(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), {
      reference: 'rancher/agent:v2',
      silenceMs: 1_000,
      onProgress: (line) => told.push(line),
    });
    return told;
  };
  const lines = [
    { status: 'Pulling from rancher/agent' },
    { status: 'Größe', id: 'a' },
    { status: 'Downloading', progress: '[=>]' },
    { status: 'Done' },
  ];
  const stream = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\r\n`).join(''));

  it('is the same however the bytes are split, letters of two bytes included', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(stream.length), { maxLength: 12 }), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), stream.length];
        const chunks = at.slice(1).map((end, index) => stream.subarray(at[index], end));
        expect(await follow(chunks)).toEqual(['Pulling from rancher/agent', 'Größe', 'Done']);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it('an error line is a failure, with the registry’s words and status', async () => {
    const line = JSON.stringify({ errorDetail: { code: 404, message: 'x' }, error: 'manifest unknown' });
    await expect(follow(['{"status":"Pulling"}\n', line])).rejects.toMatchObject({
      originalMessage: 'manifest unknown',
      kind: 'not-found',
    });
    await expect(follow(['{"error":"toomanyrequests"}\n'])).rejects.toMatchObject({ kind: 'failed' });
  });

  it.each(['<html>', 'null', '[]', '42', '""'])(
    'a line that is no progress (%s) is harmless',
    async (line) => {
      expect(await follow([`${line}\n{"status":"Done"}\n`])).toEqual(['Done']);
    },
  );

  it('one that says nothing for too long is stuck', async () => {
    const hung = new Readable({ read: () => undefined });
    const pulling = followPull(hung, { reference: 'a', silenceMs: 30, onProgress: () => undefined });
    await expect(pulling).rejects.toThrow(/no answer within 30 ms/);
    expect(hung.destroyed).toBe(true);
  });
});
