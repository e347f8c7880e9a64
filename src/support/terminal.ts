import { once } from 'node:events';
import { untilAborted } from './deadline.ts';

/** How what we print is looked at. */
export interface Terminal {
  /** Stdout is a terminal: a person looks on, and what was printed can be drawn again. */
  readonly interactive: boolean;
  /** Characters a line may have; 80 where nobody says. */
  readonly columns: number;
  readonly colour: boolean;
}

/** Wider lines than this are hard to read, whatever the terminal has. */
const widest = 100;
const usual = 80;

/** The part of a stream that shows what is at its other end. */
interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/**
 * The terminal behind stdout. Its width is read each time: people change it while they watch.
 * @param stdout Node opens it when it is first asked for, so that is left until somebody wants to know
 * @param mayColour false where the environment asks for none (`NO_COLOR`, `TERM=dumb`)
 */
export function terminalOf(stdout: () => Output, mayColour: boolean): Terminal {
  return {
    get interactive() {
      return stdout().isTTY === true;
    },
    get colour() {
      return mayColour && this.interactive;
    },
    get columns() {
      const { columns = 0 } = stdout();
      // A terminal without a size (`docker run -t` before its first resize) says 0.
      return this.interactive && columns > 0 ? Math.min(widest, columns) : usual;
    },
  };
}

/** What a person types. */
export interface Keyboard {
  /** Stdin is a terminal: there is somebody to ask. */
  readonly interactive: boolean;
  /** One line as it was typed; empty at the end of the input. @throws the signal's reason */
  readLine(signal: AbortSignal): Promise<string>;
}

/**
 * The keyboard behind stdin. The terminal stays as it is: it echoes, and turns Ctrl-C into SIGINT.
 * @param open gives stdin, which Node opens when it is first asked for
 */
export function keyboardOf(open: () => NodeJS.ReadStream): Keyboard {
  return {
    get interactive() {
      return open().isTTY;
    },
    async readLine(signal) {
      const stdin = open();
      const over = new AbortController();
      try {
        const line = Promise.race([
          once(stdin, 'data', { signal: over.signal }).then(([chunk]) => String(chunk)),
          once(stdin, 'end', { signal: over.signal }).then(() => ''),
        ]);
        return await untilAborted(line, signal);
      } finally {
        over.abort();
        stdin.pause();
      }
    },
  };
}
