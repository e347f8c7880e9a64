import { connect, type Socket } from 'node:net';
import { readAnswer } from './plain-answer.ts';
import type { EngineAnswer } from './transport.ts';

/** Bytes that are read at once; an inspection has some 8,000. */
const PIECE = 32_768;

/** One connection to the engine, for one question at a time that has no body. */
export class PlainConnection {
  readonly #socket: Socket;
  readonly #fields: string;
  #question: PromiseWithResolvers<EngineAnswer> | undefined;
  #received: Buffer = empty;
  #isOpen = true;

  /**
   * Connects. What goes wrong with that is told to who asks.
   * @param socketPath of the engine
   * @param userAgent tells the engine's log who asked
   */
  constructor(socketPath: string, userAgent: string) {
    this.#fields = `Host: docker\r\nUser-Agent: ${userAgent}\r\n\r\n`;
    // Read into one buffer, beside Node's streams, which take twice as long for answers that come in one piece.
    const callback = (length: number, buffer: Uint8Array): boolean => {
      this.#receive(Buffer.from(buffer.buffer, buffer.byteOffset, length));
      return true;
    };
    this.#socket = connect({ path: socketPath, onread: { buffer: Buffer.allocUnsafeSlow(PIECE), callback } })
      .on('end', () => {
        this.#isOpen = false;
        this.#read(true);
      })
      .on('error', (error) => {
        this.#fail(error);
      })
      .on('close', () => {
        this.#fail(new Error('the connection was closed'));
      });
  }

  /** Whether it may be asked, if nobody waits for an answer. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * @param path with the query
   * @throws what the connection throws, GarbledAnswerError; it has no deadline of its own
   */
  async ask(method: 'GET' | 'DELETE', path: string): Promise<EngineAnswer> {
    const question = Promise.withResolvers<EngineAnswer>();
    this.#question = question;
    this.#socket.write(`${method} ${path} HTTP/1.1\r\n${this.#fields}`, 'latin1');
    return question.promise;
  }

  /** Ends it, and with it the question in hand. */
  destroy(error = new Error('the connection was given up')): void {
    this.#fail(error);
    this.#socket.destroy();
  }

  #receive(piece: Buffer): void {
    // Whose answer would come next?
    if (this.#question === undefined) {
      this.destroy();
      return;
    }
    this.#received = this.#received === empty ? piece : Buffer.concat([this.#received, piece]);
    this.#read(false);
    // The next piece is read into the same buffer.
    if (this.#received === piece) this.#received = Buffer.from(piece);
  }

  #read(ended: boolean): void {
    try {
      const answer = readAnswer(this.#received, ended);
      if (answer === undefined) return;
      const question = this.#question;
      this.#question = undefined;
      if (!answer.keepsOpen || answer.size !== this.#received.length) this.#close();
      this.#received = empty;
      question?.resolve({ status: answer.status, text: answer.text });
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #close(): void {
    this.#isOpen = false;
    this.#socket.end();
  }

  #fail(error: Error): void {
    this.#isOpen = false;
    this.#question?.reject(error);
  }
}

const empty = Buffer.alloc(0);
