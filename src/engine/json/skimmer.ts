/**
 * What is kept of a JSON value: `keep` stands for a text (cut), a number, true, false or null. An object keeps the named
 * members, and a list the texts that pass the test.
 */
export type Shape =
  | 'keep'
  | { readonly members: Readonly<Record<string, Shape>> }
  | { readonly texts: (text: string) => boolean };

export interface SkimLimits {
  /** Bytes: a longer text is cut, and an ellipsis follows. */
  readonly text: number;
  /** Texts that are kept of one list. */
  readonly texts: number;
  /** Objects and lists inside each other. */
  readonly depth: number;
}

/** An object or a list that has begun. */
interface Level {
  readonly isObject: boolean;
  /** Undefined: nothing of it is kept. */
  readonly shape: Shape | undefined;
  readonly value: Record<string, unknown> | unknown[] | undefined;
  /** The name of the member that is being read. */
  name: string | undefined;
  /** A name comes next, not a value. */
  expectsName: boolean;
}

/** A text, or a word such as `12` or `true`, that has begun. */
interface Token {
  readonly isText: boolean;
  readonly isKept: boolean;
  readonly bytes: number[];
  isCut: boolean;
}

const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;
const comma = 0x2c;
const space = 0x20;
const [openList, closeList] = [0x5b, 0x5d];
const [openObject, closeObject] = [0x7b, 0x7d];

/**
 * Reads a JSON value piece by piece and keeps only what a shape names, so that a value of any size takes little memory. What
 * it skips is not checked.
 */
export class Skimmer {
  readonly #limits: SkimLimits;
  readonly #root: Shape;
  readonly #levels: Level[] = [];
  #token: Token | undefined;
  #isEscaped = false;
  #result: unknown;

  constructor(shape: Shape, limits: SkimLimits) {
    this.#root = shape;
    this.#limits = limits;
  }

  /** @throws Error if the value is nested too deeply, or if a part that is kept is no JSON */
  take(chunk: Buffer): void {
    // An index, because an iterator over bytes takes three times as long.
    for (let index = 0; index < chunk.length; index += 1) {
      const byte = chunk[index] ?? 0;
      if (this.#token?.isText === true) this.#takeInText(this.#token, byte);
      else this.#takeOutsideText(byte);
    }
  }

  /** What was kept. @throws Error if the value has not ended */
  end(): unknown {
    this.#endToken();
    if (this.#levels.length > 0) throw new Error('the value is cut off');
    return this.#result;
  }

  #takeInText(token: Token, byte: number): void {
    if (byte === quote && !this.#isEscaped) {
      this.#endToken();
      return;
    }
    this.#isEscaped = byte === backslash && !this.#isEscaped;
    this.#add(token, byte);
  }

  #takeOutsideText(byte: number): void {
    if (byte === quote) this.#token = this.#begin(true);
    else if (byte === openObject || byte === openList) this.#open(byte === openObject);
    else if (byte === closeObject || byte === closeList) {
      this.#endToken();
      this.#levels.pop();
    } else if (byte === comma) {
      this.#endToken();
      this.#expectName();
    } else if (byte <= space || byte === colon) this.#endToken();
    else {
      this.#token ??= this.#begin(false);
      this.#add(this.#token, byte);
    }
  }

  #begin(isText: boolean): Token {
    const level = this.#levels.at(-1);
    const isName = level?.expectsName === true;
    const isKept = isName ? level.shape !== undefined : this.#shapeOfNext() === 'keep';
    return { isText, isKept, bytes: [], isCut: false };
  }

  #add(token: Token, byte: number): void {
    if (!token.isKept) return;
    if (token.bytes.length < this.#limits.text) token.bytes.push(byte);
    else token.isCut = true;
  }

  #endToken(): void {
    const token = this.#token;
    if (token === undefined) return;
    this.#token = undefined;
    this.#isEscaped = false;
    const level = this.#levels.at(-1);
    if (level?.expectsName === true) {
      // A name that was cut is none that the shape has.
      level.name = token.isKept && !token.isCut ? String(valueOf(token)) : undefined;
      level.expectsName = false;
    } else if (token.isKept) this.#put(valueOf(token));
  }

  #open(isObject: boolean): void {
    if (this.#levels.length >= this.#limits.depth) throw new Error('the value is nested too deeply');
    const wanted = this.#shapeOfNext();
    const isWanted = wanted !== undefined && wanted !== 'keep' && 'members' in wanted === isObject;
    const value = isWanted ? (isObject ? {} : []) : undefined;
    if (value !== undefined) this.#put(value);
    const shape = isWanted ? wanted : undefined;
    this.#levels.push({ isObject, shape, value, name: undefined, expectsName: isObject });
  }

  #expectName(): void {
    const level = this.#levels.at(-1);
    if (level?.isObject !== true) return;
    level.expectsName = true;
    level.name = undefined;
  }

  /** What is kept of the value that comes next. */
  #shapeOfNext(): Shape | undefined {
    const level = this.#levels.at(-1);
    if (level === undefined) return this.#root;
    if (level.shape === undefined || level.shape === 'keep') return undefined;
    if ('texts' in level.shape) return 'keep';
    const { name } = level;
    return name !== undefined && Object.hasOwn(level.shape.members, name)
      ? level.shape.members[name]
      : undefined;
  }

  #put(value: unknown): void {
    const level = this.#levels.at(-1);
    if (level === undefined) this.#result = value;
    else if (Array.isArray(level.value)) this.#putIntoList(level, value);
    else if (level.value !== undefined && level.name !== undefined) level.value[level.name] = value;
  }

  #putIntoList({ shape, value: list }: Level, value: unknown): void {
    if (shape === undefined || shape === 'keep' || !('texts' in shape) || !Array.isArray(list)) return;
    if (typeof value === 'string' && list.length < this.#limits.texts && shape.texts(value)) list.push(value);
  }
}

function valueOf({ isText, bytes, isCut }: Token): unknown {
  const raw = Buffer.from(bytes).toString('utf8');
  if (!isText) return JSON.parse(raw);
  // The cut may be in the middle of an escape: whole characters and whole escapes stay, from the beginning on.
  const whole = isCut ? `${wholeEscapes.exec(raw)?.[0] ?? ''}…` : raw;
  return JSON.parse(`"${whole}"`);
}

const wholeEscapes = /^(?:[^\\]|\\(?:[^u]|u[0-9a-f]{4}))*/i;
