import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementsOf } from '../../../src/engine/json-elements.ts';

/** The text in pieces of so many bytes, whatever they cut in two. */
function inPieces(text: string, size: number): AsyncIterable<Buffer> {
  const bytes = Buffer.from(text);
  const count = Math.ceil(bytes.length / size);
  return Readable.from(
    Array.from({ length: count }, (_, index) => bytes.subarray(index * size, (index + 1) * size)),
  );
}

async function read(text: string, size = 7): Promise<unknown[]> {
  const elements: unknown[] = [];
  for await (const element of elementsOf(inPieces(text, size))) elements.push(element);
  return elements;
}

describe('the elements of a list', () => {
  it('are those that JSON.parse sees, however the text is cut', async () => {
    const pieces = fc.integer({ min: 1, max: 40 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue()), pieces, fc.boolean(), async (list, size, isPretty) => {
        const text = JSON.stringify(list, undefined, isPretty ? 1 : undefined);
        expect(await read(text, size)).toEqual(JSON.parse(text));
      }),
    );
  });

  it('come before the list has ended', async () => {
    const never = new Promise<Buffer>(() => undefined);
    async function* body(): AsyncGenerator<Buffer> {
      yield Buffer.from('[{"a":"],"},{"b":');
      yield await never;
    }
    expect(await elementsOf(body()).next()).toEqual({ done: false, value: { a: '],' } });
  });

  it('of null are none, as of a list of nothing', async () => {
    expect(await read('null\n')).toEqual([]);
    expect(await read(' [ ] ')).toEqual([]);
  });

  it.each([
    ['[{"a":1},{"b"', /is cut off/],
    ['[', /is cut off/],
    ['{"message":"no"}', /no list/],
    ['page not found', /no list/],
    ['', /no list/],
    ['[1,tru]', /JSON/],
    ['[][]', /no list/],
  ])('of %s are an error', async (text, message) => {
    await expect(read(text)).rejects.toThrow(message);
  });
});
