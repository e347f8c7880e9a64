import { pino, type DestinationStream } from 'pino';
import { fixedLimits } from './limits/fixed.ts';
import { printable, printableLines, shorten } from './printable.ts';
import { isSecretKey, type Secrets } from './secrets.ts';

export type LogFields = Readonly<Record<string, unknown>>;

/**
 * What the program says while it works. Lines go to stderr, each in one synchronous write, so that the last line
 * before a SIGKILL is there (engine-notes §5: pino's default lost 999 of 1000).
 */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface LogOptions {
  readonly format: 'text' | 'json';
  readonly debug: boolean;
  readonly secrets: Secrets;
  /** Whether each line of text begins with its time; the engine adds it to what goes to stderr. */
  readonly times?: boolean;
  /** Where lines go; stderr, written synchronously, unless a test passes its own. */
  readonly destination?: DestinationStream;
}

/**
 * The logger of the program: `INFO: …` lines as operators know them, or JSON lines. Pino is created, and in the image loaded,
 * with the first line: most commands that end well say nothing.
 */
export function createLog(options: LogOptions): Log {
  let logger: pino.Logger | undefined;
  return wrap(() => (logger ??= createLogger(options)), options.debug);
}

function createLogger(options: LogOptions): pino.Logger {
  const destination = options.destination ?? pino.destination({ fd: 2, sync: true });
  const scrubbed: DestinationStream = {
    write: (line) => {
      const clean = scrubLine(line, options.secrets);
      const time = options.times === true ? `${String(clean['time'])} ` : '';
      destination.write(
        options.format === 'json' ? `${JSON.stringify(clean)}\n` : `${time}${renderText(clean)}`,
      );
    },
  };
  return pino(
    {
      level: options.debug ? 'debug' : 'info',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
    },
    scrubbed,
  );
}

/** A log whose lines go to both. */
export function logToBoth(one: Log, other: Log): Log {
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields?: LogFields): void => {
      one[level](message, fields);
      other[level](message, fields);
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
}

/** A log that says nothing, for code that is exercised without an audience. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/**
 * The line with every text masked by its key or by what it holds, however deep. Texts are scrubbed one by one, not the
 * JSON as a whole: there a secret with a quote in it is not found, and a mask can swallow the backslash of a quote. They are made
 * printable as well: somebody else may have chosen them.
 */
function scrubLine(line: string, secrets: Secrets): Record<string, unknown> {
  return JSON.parse(line, (key, value: unknown) => {
    if (isSecretKey(key)) return '***';
    if (typeof value !== 'string') return value;
    const clean = shorten(secrets.scrub(value), fixedLimits.FOREIGN_TEXT);
    // The lines of a field are shown as `\n`; a message is one line.
    return key === 'message' ? printable(clean) : printableLines(clean);
  }) as Record<string, unknown>;
}

function wrap(logger: () => pino.Logger, debug: boolean): Log {
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields: LogFields = {}): void => {
      logger()[level](fields, message);
    };
  return {
    debug: debug ? at('debug') : () => undefined,
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
}

const prefixes: Readonly<Record<string, string>> = {
  debug: 'DEBUG: ',
  info: 'INFO: ',
  warn: 'WARN: ',
  error: 'ERROR: ',
};

/** One readable line: the message, then `name=value` for each field. */
function renderText(line: Record<string, unknown>): string {
  const { level, message, ...fields } = line;
  delete fields['time'];
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${renderValue(value)}`);
  return `${prefixes[String(level)] ?? ''}${String(message)}${rest.join('')}\n`;
}

function renderValue(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
