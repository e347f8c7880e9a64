/**
 * Splits a shell script into its simple commands, in one pass and without recursion. It knows quotes, comments,
 * substitutions
 * and separators, but no here-documents and no grammar: enough to know what a command is called, not to run it.
 */

/**
 * The words of one simple command, as they are written, quotes included. What stands in a substitution is a command
 * of its own.
 */
export type ShellCommand = readonly string[];

/**
 * - `line`: each line begins a command outside all quotes, whatever came before; nothing elsewhere in the text can
 * mislead it
 * - `text`: quotes and parentheses may span lines
 */
export type ShellScope = 'line' | 'text';

/** More open parentheses than that are no script of a person. */
const deepest = 1_000;

interface OpenCommand {
  readonly words: string[];
  /** The word that has begun; undefined between words. */
  word: string | undefined;
}

/** @returns undefined when parentheses are nested too deeply */
export function readCommands(script: string, scope: ShellScope): readonly ShellCommand[] | undefined {
  const splitter = new Splitter(script, scope);
  return splitter.run() ? splitter.commands : undefined;
}

class Splitter {
  readonly commands: ShellCommand[] = [];
  readonly #script: string;
  readonly #scope: ShellScope;
  readonly #outer: OpenCommand[] = [];
  /** Which of the outer ones were left by a backtick. */
  #backticks = 0;
  #open: OpenCommand = { words: [], word: undefined };
  #quote = '';

  constructor(script: string, scope: ShellScope) {
    this.#script = script;
    this.#scope = scope;
  }

  run(): boolean {
    for (let at = 0; at < this.#script.length;) {
      at = this.#read(at);
      if (this.#outer.length > deepest) return false;
    }
    this.#endAll();
    return true;
  }

  /** Reads what stands at a position. @returns the next position */
  #read(at: number): number {
    const character = this.#script.charAt(at);
    if (character === '\n' && this.#scope === 'line') this.#endAll();
    else if (this.#quote !== '') return this.#readQuoted(at, character);
    else if (character === '\n') this.#endCommand();
    else if (character === '\\') return this.#readEscaped(at);
    else if (character === '#' && this.#open.word === undefined) return this.#endOfLine(at);
    else this.#readPlain(at, character);
    return at + 1;
  }

  #readPlain(at: number, character: string): void {
    switch (character) {
      case ' ':
      case '\t':
      case '\r':
        this.#endWord();
        break;
      case ';':
      case '|':
        this.#endCommand();
        break;
      case '&':
        if (this.#isRedirection(at)) this.#add(character);
        else this.#endCommand();
        break;
      case '(':
        this.#enter();
        break;
      case ')':
        this.#leave();
        break;
      case '`':
        this.#readBacktick();
        break;
      default:
        if (character === '"' || character === "'") this.#quote = character;
        this.#add(character);
    }
  }

  #readQuoted(at: number, character: string): number {
    this.#add(character);
    if (character === this.#quote) this.#quote = '';
    else if (character === '\\' && this.#quote === '"') {
      this.#add(this.#script.charAt(at + 1));
      return at + 2;
    }
    return at + 1;
  }

  /** A backslash at the end of a line joins it with the next. */
  #readEscaped(at: number): number {
    const next = this.#script.charAt(at + 1);
    if (next !== '\n') this.#add(`\\${next}`);
    return at + 2;
  }

  /** `2>&1`, `<&3`, `&>file` */
  #isRedirection(at: number): boolean {
    const before = this.#script.charAt(at - 1);
    return before === '>' || before === '<' || this.#script.charAt(at + 1) === '>';
  }

  #endOfLine(at: number): number {
    const end = this.#script.indexOf('\n', at);
    return end < 0 ? this.#script.length : end;
  }

  #add(text: string): void {
    this.#open.word = (this.#open.word ?? '') + text;
  }

  #endWord(): void {
    if (this.#open.word !== undefined) this.#open.words.push(this.#open.word);
    this.#open.word = undefined;
  }

  #endCommand(): void {
    this.#endWord();
    if (this.#open.words.length > 0) this.commands.push(this.#open.words);
    this.#open = { words: [], word: undefined };
  }

  #enter(): void {
    this.#outer.push(this.#open);
    this.#open = { words: [], word: undefined };
  }

  /**
   * Behind `()`, which is how a function begins, the next command begins; behind any other parenthesis the word
   * continues.
   */
  #leave(): void {
    const isEmpty = this.#open.word === undefined && this.#open.words.length === 0;
    this.#endCommand();
    this.#open = this.#outer.pop() ?? this.#open;
    if (isEmpty) this.#endCommand();
  }

  #readBacktick(): void {
    if (this.#backticks > 0 && this.#outer.length > 0) {
      this.#backticks--;
      this.#leave();
    } else {
      this.#backticks++;
      this.#enter();
    }
  }

  #endAll(): void {
    this.#endCommand();
    for (let open = this.#outer.pop(); open !== undefined; open = this.#outer.pop()) {
      this.#open = open;
      this.#endCommand();
    }
    this.#backticks = 0;
    this.#quote = '';
  }
}
