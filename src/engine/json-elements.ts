const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const [openList, closeList] = [0x5b, 0x5d];
const [openObject, closeObject] = [0x7b, 0x7d];

/**
 * The elements of a JSON list, one by one, as it arrives: a list of thousands of containers is several megabytes of text,
 * and most of it is thrown away at once.
 * @throws Error when the text is no list, or ends before the list does
 */
export async function* elementsOf(body: AsyncIterable<Buffer>): AsyncGenerator {
  const splitter = new Splitter();
  for await (const chunk of body) {
    for (const text of splitter.take(chunk)) yield JSON.parse(text);
  }
  splitter.end();
}

/**
 * Finds where elements begin and end. It can work on bytes, because every character that matters is one byte in UTF-8, and
 * never a part of another character.
 */
class Splitter {
  #depth = 0;
  #inText = false;
  #escaped = false;
  #ended = false;
  /** The pieces of the present element that came with earlier chunks. */
  #pieces: Buffer[] = [];

  /** @returns the elements that this chunk completes */
  take(chunk: Buffer): readonly string[] {
    const whole: string[] = [];
    let begin = 0;
    const cut = (end: number): void => {
      const text = Buffer.concat([...this.#pieces, chunk.subarray(begin, end)]).toString('utf8');
      this.#pieces = [];
      begin = end + 1;
      if (text.trim() !== '') whole.push(text);
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
    if (!this.#ended && begin < chunk.length) this.#pieces.push(chunk.subarray(begin));
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
    this.#pieces = [];
    return index + 1;
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
