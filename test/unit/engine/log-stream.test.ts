import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyLog } from '../../../src/engine/log-stream.ts';

describe('a container’s log', () => {
  const frame = (stream: number, words: Buffer): Buffer => {
    const header = Buffer.alloc(8);
    header[0] = stream;
    header.writeUInt32BE(words.length, 4);
    return Buffer.concat([header, words]);
  };
  const copy = async (chunks: readonly Buffer[]): Promise<Buffer> => {
    const copied: Buffer[] = [];
    await copyLog(Readable.from(chunks), (chunk) => copied.push(chunk));
    return Buffer.concat(copied);
  };

  it('is copied whole, however frames and chunks fall', async () => {
    const words = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    await fc.assert(
      fc.asyncProperty(
        fc.array(words, { maxLength: 6 }),
        fc.array(fc.nat(2_000), { maxLength: 12 }),
        async (parts, cuts) => {
          const bytes = Buffer.concat(parts.map((part, index) => frame(1 + (index % 2), part)));
          const at = [
            0,
            ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b),
            bytes.length,
          ];
          const chunks = at
            .slice(1)
            .map((end, index) => bytes.subarray(at[index], end))
            .filter(({ length }) => length > 0);
          expect(await copy(chunks)).toEqual(Buffer.concat(parts));
        },
      ),
      { seed: 1, numRuns: 300 },
    );
  });

  it('tells what went to stdout from what went to stderr', async () => {
    const told: string[] = [];
    const chunks = [
      frame(1, Buffer.from('TOKEN=1')),
      frame(2, Buffer.from('INFO: x')),
      Buffer.from('a terminal'),
    ];
    for (const chunk of chunks) {
      await copyLog(Readable.from([chunk]), (words, stream) => told.push(`${stream} ${words.toString()}`));
    }
    expect(told).toEqual(['stdout TOKEN=1', 'stderr INFO: x', 'stdout a terminal']);
  });

  it('without frames (a container with a terminal) is copied as it is', async () => {
    expect((await copy([Buffer.from('INFO: plain text\n')])).toString()).toBe('INFO: plain text\n');
  });

  it('the last line is not lost when the stream ends in the middle of a frame', async () => {
    const bytes = frame(2, Buffer.from('ERROR: the last words'));
    expect((await copy([bytes.subarray(0, bytes.length - 6)])).toString()).toBe('ERROR: the last');
  });

  it('short text without frames is not lost either', async () => {
    expect((await copy([Buffer.from('hi\n')])).toString()).toBe('hi\n');
  });

  it('is copied as it comes: a frame that never ends is not kept', async () => {
    const header = frame(1, Buffer.alloc(0));
    header.writeUInt32BE(2 ** 20, 4);
    const sizes: number[] = [];
    const pieces = [header, ...Array.from({ length: 200 }, () => Buffer.alloc(4_000, 'x'))];
    await copyLog(Readable.from(pieces), (words) => sizes.push(words.length));
    expect(sizes).toEqual(Array.from({ length: 200 }, () => 4_000));
  });

  it('with a terminal, whose text looks like the header of an endless frame, is copied as it is', async () => {
    const forged = Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    const pieces = [forged, ...Array.from({ length: 2_000 }, () => Buffer.alloc(16_384, 'x'))];
    const begun = performance.now();
    let copied = 0;
    await copyLog(Readable.from(pieces), (words) => (copied += words.length));
    expect(copied).toBe(2_000 * 16_384);
    expect(performance.now() - begun).toBeLessThan(2_000);
  });
});
