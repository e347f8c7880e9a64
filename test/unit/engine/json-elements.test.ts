import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementsOf, type ElementLimits } from '../../../src/engine/json-elements.ts';

const limits: ElementLimits = {
  element: 10_000_000,
  shape: { members: { Id: 'keep', Names: { texts: () => true } } },
  text: 20,
  texts: 10,
  depth: 10,
};

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
  for await (const { value } of elementsOf(inPieces(text, size), limits)) elements.push(value);
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
    expect(await elementsOf(body(), limits).next()).toMatchObject({
      done: false,
      value: { value: { a: '],' }, size: 10, isSkimmed: false },
    });
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

describe('an element that is too large', () => {
  const labels = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`label-${index}`, '"\\']));
  const large = { Names: ['/a', '/b/a'], Labels: labels, Id: 'large', State: ['x'] };

  it('keeps what its shape names, wherever it is, and the elements around it are whole', async () => {
    const pieces = fc.integer({ min: 1, max: 3000 });
    const list = [{ Id: 'first', Labels: { a: '1' } }, large, large, { Id: 'last' }];
    await fc.assert(
      fc.asyncProperty(pieces, async (size) => {
        const found = [];
        for await (const element of elementsOf(inPieces(JSON.stringify(list), size), {
          ...limits,
          element: 1000,
        }))
          found.push(element);
        expect(found.map(({ value }) => value)).toEqual([
          list[0],
          { Names: ['/a', '/b/a'], Id: 'large' },
          { Names: ['/a', '/b/a'], Id: 'large' },
          list[3],
        ]);
        expect(found.map(({ isSkimmed }) => isSkimmed)).toEqual([false, true, true, false]);
        expect(found[1]?.size).toBe(JSON.stringify(large).length);
      }),
      { numRuns: 30 },
    );
  });

  it('is never held in memory as a whole', async () => {
    const label = Buffer.from(`"${'x'.repeat(1000)}":"${'y'.repeat(1000)}",`);
    async function* body(): AsyncGenerator<Buffer> {
      yield Buffer.from('[{"Id":"a","Labels":{');
      for (let count = 0; count < 50_000; count += 1) yield await Promise.resolve(label);
      yield Buffer.from('"z":""},"Names":["/b"]}]');
    }
    const before = process.memoryUsage().rss;
    const found = [];
    for await (const element of elementsOf(body(), { ...limits, element: 65_536 })) found.push(element);
    expect(found).toMatchObject([{ value: { Id: 'a', Names: ['/b'] }, isSkimmed: true }]);
    expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000);
  });

  it('of a text without a list is an error at once', async () => {
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) yield await Promise.resolve(Buffer.alloc(1000, ' '));
    }
    await expect(elementsOf(endless(), { ...limits, element: 5000 }).next()).rejects.toThrow(/no list/);
  });
});
