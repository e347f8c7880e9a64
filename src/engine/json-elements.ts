import { Skimmer, type Shape, type SkimLimits } from './json/skimmer.ts';

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const [openList, closeList] = [0x5b, 0x5d];
const [openObject, closeObject] = [0x7b, 0x7d];

/** How elements are read that are too large to be held in memory. */
export interface ElementLimits extends SkimLimits {
  /** Bytes: of a larger element only the shape is kept. */
  readonly element: number;
  readonly shape: Shape;
}

export interface Element {
  readonly value: unknown;
  /** In bytes. */
  readonly size: number;
  /** It was too large: only the shape was kept. */
  readonly isSkimmed: boolean;
}

/**
 * The elements of a JSON list, one by one, as it arrives: a list of thousands of containers is several megabytes of text,
 * and most of it is thrown away at once. No element takes more memory than `limits.element` bytes of text.
 * @throws Error when the text is no list, or ends before the list does
 */
export async function* elementsOf(
  body: AsyncIterable<Buffer>,
  limits: ElementLimits,
): AsyncGenerator<Element> {
  const splitter = new Splitter(limits);
  for await (const chunk of body) yield* splitter.take(chunk);
  splitter.end();
}

/**
 * Finds where elements begin and end. It can work on bytes, because every character that matters is one byte in UTF-8, and
 * never a part of another character.
 */
class Splitter {
  readonly #limits: ElementLimits;
  #depth = 0;
  #inText = false;
  #escaped = false;
  #begun = false;
  #ended = false;
  /** The pieces of the present element that came with earlier chunks. */
  #pieces: Buffer[] = [];
  /** Bytes of the present element in earlier chunks. */
  #size = 0;
  /** Reads the present element instead, because it is too large. */
  #skimmer: Skimmer | undefined;

  constructor(limits: ElementLimits) {
    this.#limits = limits;
  }

  /** @returns the elements that this chunk completes */
  take(chunk: Buffer): readonly Element[] {
    const whole: Element[] = [];
    let begin = 0;
    const cut = (end: number): void => {
      this.#add(chunk.subarray(begin, end));
      begin = end + 1;
      const element = this.#finish();
      if (element !== undefined) whole.push(element);
    };
    for (let index = 0; index < chunk.length; index += 1) {
      const byte = chunk[index];
      if (this.#isInText(byte)) continue;
      if (byte === openList || byte === openObject) {
        this.#depth += 1;
        if (this.#depth === 1) begin = this.#open(byte, index);
      } else if (byte === closeList || byte === closeObject) {
        this.#depth -= 1;
        if (this.#depth === 0) {
          cut(index);
          this.#ended = true;
        }
      } else if (byte === comma && this.#depth === 1) cut(index);
    }
    if (!this.#ended && begin < chunk.length) this.#add(chunk.subarray(begin));
    return whole;
  }

  end(): void {
    if (this.#ended) return;
    // Some engines say `null` for none.
    const isNull = this.#depth === 0 && Buffer.concat(this.#pieces).toString('utf8').trim() === 'null';
    if (!isNull) throw new Error(this.#depth === 0 ? 'the answer is no list' : 'the list is cut off');
  }

  #open(byte: number, index: number): number {
    if (byte !== openList || this.#ended) throw new Error('the answer is no list');
    this.#begun = true;
    this.#pieces = [];
    this.#size = 0;
    return index + 1;
  }

  /** Adds a piece to the present element. */
  #add(piece: Buffer): void {
    this.#size += piece.length;
    if (this.#skimmer === undefined && this.#size <= this.#limits.element) {
      this.#pieces.push(piece);
      return;
    }
    // Only a list has elements.
    if (!this.#begun) throw new Error('the answer is no list');
    this.#skimmer ??= new Skimmer(this.#limits.shape, this.#limits);
    for (const earlier of this.#pieces) this.#skimmer.take(earlier);
    this.#pieces = [];
    this.#skimmer.take(piece);
  }

  /** The present element, which has ended; undefined if there is none, as in an empty list. */
  #finish(): Element | undefined {
    const [skimmer, pieces, size] = [this.#skimmer, this.#pieces, this.#size];
    this.#skimmer = undefined;
    this.#pieces = [];
    this.#size = 0;
    if (skimmer !== undefined) return { value: skimmer.end(), size, isSkimmed: true };
    const text = Buffer.concat(pieces).toString('utf8');
    return text.trim() === '' ? undefined : { value: JSON.parse(text), size, isSkimmed: false };
  }

  /** Whether a byte belongs to a text, its quotes included. */
  #isInText(byte: number | undefined): boolean {
    if (!this.#inText) {
      this.#inText = byte === quote;
      return this.#inText;
    }
    if (this.#escaped) this.#escaped = false;
    else if (byte === backslash) this.#escaped = true;
    else if (byte === quote) this.#inText = false;
    return true;
  }
}
