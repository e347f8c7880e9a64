import { fstatSync, stat } from 'node:fs';
import { hostname } from 'node:os';
import { dispatch, type Basis } from './cli/dispatch.ts';
import { exitAtOnce } from './host/exec.ts';
import { readConfiguration } from './support/configuration.ts';
import { ExitCode, InterruptedError, messageOf } from './support/errors.ts';
import { fixedLimits } from './support/limits/fixed.ts';
import { createLog, type Log } from './support/log.ts';
import { createOutput } from './support/output.ts';
import { printableLines } from './support/printable.ts';
import { addEnvironmentSecrets, createSecrets, type Secrets } from './support/secrets.ts';
import { hungLine } from './agent/worker/hung-worker.ts';
import { keyboardOf, terminalOf } from './support/terminal.ts';

/** Set by the bundler from package.json. */
declare const __VERSION__: string | undefined;

const output = createOutput();

/** The entry point: environment and arguments in, exit status out. Only this file calls `process.exit`. */
async function main(): Promise<void> {
  const argv = process.argv.slice(2);
  // The one command whose milliseconds count asks the host for three small files.
  if (argv[0] !== 'inspect-host') widenThreadPool();
  const debug = isDebugAsked(argv) ? { CATTLE_SCRIPT_DEBUG: 'true' } : {};
  const configuration = readConfiguration({ ...process.env, ...debug }, hostname());
  const secrets = createSecrets();
  addEnvironmentSecrets(secrets, configuration.environment);
  const log = createLog({
    format: configuration.logFormat,
    debug: configuration.debug,
    secrets,
    destination: {
      write: (line) => {
        output.write(line, 'stderr');
      },
    },
  });
  const signal = watchSignals();
  exitOnDefect(log, signal);
  hideTokens(argv, secrets);
  const basis: Basis = {
    configuration,
    secrets,
    log,
    version: typeof __VERSION__ === 'string' ? __VERSION__ : 'development',
    signal,
    write: (chunk, stream) => {
      output.write(chunk, stream);
    },
    terminal: terminalOf(openTerminal, configuration.colour),
    keyboard: keyboardOf(() => process.stdin),
  };
  await leave(await dispatch(argv, basis), signal);
}

/** Stdout, unless it is a pipe: Node makes that non-blocking when it opens it, for everybody who has it. */
function openTerminal(): { readonly isTTY?: boolean; readonly columns?: number } {
  try {
    return fstatSync(1).isCharacterDevice() ? process.stdout : {};
  } catch {
    return {};
  }
}

/**
 * Every user of the host can read the arguments of a process. The token in a registration URL registers further hosts, so it leaves
 * them as soon as they are read; a registration may wait for its server for minutes.
 */
function hideTokens(argv: readonly string[], secrets: Secrets): void {
  const shown = argv.map((argument) => secrets.scrub(argument));
  if (shown.some((argument, index) => argument !== argv[index])) {
    process.title = ['rancher-agent-entrypoint', ...shown].join(' ');
  }
}

/**
 * Each call to a disk that does not answer keeps one thread of libuv for good, and there are four: with one for the status, the
 * record of serving, a lock and a folder, no name could be looked up and no file be read any more. libuv reads the variable once,
 * at the first call; children must not inherit it.
 */
function widenThreadPool(): void {
  const before = process.env['UV_THREADPOOL_SIZE'];
  process.env['UV_THREADPOOL_SIZE'] = '16';
  stat('/', () => undefined);
  if (before === undefined) delete process.env['UV_THREADPOOL_SIZE'];
  else process.env['UV_THREADPOOL_SIZE'] = before;
}

function isDebugAsked(argv: readonly string[]): boolean {
  const dashes = argv.indexOf('--');
  return (dashes < 0 ? argv : argv.slice(0, dashes)).includes('--debug');
}

/**
 * What nobody caught is a defect. Node alone would exit with 1, which is how `run` exits on a signal, and write the stack as it
 * is, with whatever secret is in it.
 */
function exitOnDefect(log: Log, signal: AbortSignal): void {
  process.on('uncaughtException', (error) => {
    log.error('this is a defect of the entrypoint: please report it', {
      error: error.stack ?? messageOf(error),
    });
    void leave(ExitCode.internal, signal);
  });
}

/** As PID 1 a process without handlers of its own does not even get these signals. */
function watchSignals(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      controller.abort(new InterruptedError(signal));
    });
  }
  // Without the flag of the image Node's debugger listens for it.
  process.on('SIGUSR1', () => undefined);
  return controller.signal;
}

/**
 * Exits. `exit` waits for Node's threads, for ever if one of them is in a file-system call that a dead disk
 * never answers; becoming another program stops them. A call that was under way when something else failed is given time, and so is
 * whoever reads what we say, until a signal comes. A look-up of a name is not waited for: it takes as long as the name servers do.
 */
async function leave(status: number, signal: AbortSignal): Promise<never> {
  await new Promise((resolve) => setImmediate(resolve));
  await output.flushed(signal);
  for (let waited = 0; isInCall(fileCall); waited += fixedLimits.LEAVE_POLL) {
    if (waited >= fixedLimits.LEAVE_PATIENCE) {
      output.write(hungLine(status), 'stderr');
      exitAtOnce(status);
    }
    await new Promise((resolve) => setTimeout(resolve, fixedLimits.LEAVE_POLL));
  }
  if (isInCall(nameCall)) exitAtOnce(status);
  process.exit(status);
}

const fileCall = /^FSReq/;
const nameCall = /^Get(Addr|Name)InfoReq/;

function isInCall(kind: RegExp): boolean {
  return process.getActiveResourcesInfo().some((resource) => kind.test(resource));
}

main().catch(async (error: unknown) => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  output.write(`ERROR: ${printableLines(text)}\n`, 'stderr');
  await leave(ExitCode.internal, AbortSignal.abort());
});
