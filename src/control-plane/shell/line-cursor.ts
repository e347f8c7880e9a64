/**
 * What a position of a script stands in, looking at its line alone: here-documents and comments on other lines cannot mislead
 * it. Positions are asked for in ascending order, so that the whole text is read once.
 */

export type Context = 'plain' | 'comment' | '"' | "'";

/** The quotes or the comment that a position is in. */
export class QuoteCursor {
  readonly #script: string;
  #at = 0;
  #context: Context = 'plain';

  constructor(script: string) {
    this.#script = script;
  }

  contextAt(at: number): Context {
    while (this.#at < at) this.#at += this.#step(this.#script.charAt(this.#at));
    return this.#context;
  }

  /** @returns how many characters were read */
  #step(character: string): number {
    const context = this.#context;
    if (character === '\n') this.#context = 'plain';
    else if (context === 'comment') return 1;
    else if (character === '\\' && context !== "'") return this.#script.charAt(this.#at + 1) === '\n' ? 1 : 2;
    else if (character === context) this.#context = 'plain';
    else if (context === 'plain') this.#context = this.#open(character);
    return 1;
  }

  #open(character: string): Context {
    if (character === '"' || character === "'") return character;
    const before = this.#script.charAt(this.#at - 1);
    return character === '#' && /^$|\s|[;&|()]/.test(before) ? 'comment' : 'plain';
  }
}

/** Whether an assignment may begin at a position: at the start of a command, perhaps after `export` and the like. */
export class CommandCursor {
  readonly #script: string;
  #at = 0;
  #wordStart = 0;
  /** All words of the command so far may stand before an assignment. */
  #isOpen = true;
  #declares = false;

  constructor(script: string) {
    this.#script = script;
  }

  isCommandPosition(at: number): boolean {
    for (; this.#at < at; this.#at++) this.#step(this.#script.charAt(this.#at));
    return this.#isOpen && this.#wordStart === at;
  }

  #step(character: string): void {
    if (/[\n;&|({]/.test(character)) {
      this.#isOpen = true;
      this.#declares = false;
    } else if (/\s/.test(character)) {
      this.#endWord(this.#script.slice(this.#wordStart, this.#at));
    } else return;
    this.#wordStart = this.#at + 1;
  }

  #endWord(word: string): void {
    if (word === '') return;
    if (/\b(then|else|do)$/.test(word)) {
      this.#isOpen = true;
      this.#declares = false;
    } else if (/^(export|readonly|local|declare|typeset)$/.test(word)) {
      this.#declares = true;
    } else if (!(this.#declares && /^-\w+$/.test(word))) {
      this.#declares = false;
      this.#isOpen &&= /^[A-Za-z_]\w*=/.test(word);
    }
  }
}
