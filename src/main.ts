import { stat, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { dispatch, type Basis } from './cli/dispatch.ts';
import { becomeProcess } from './host/exec.ts';
import { readConfiguration } from './support/configuration.ts';
import { ExitCode, InterruptedError, messageOf } from './support/errors.ts';
import { fixedLimits } from './support/limits/fixed.ts';
import { createLog, type Log } from './support/log.ts';
import { addEnvironmentSecrets, createSecrets } from './support/secrets.ts';
import { hungLine } from './agent/worker/hung-worker.ts';
import { keyboardOf, terminalOf } from './support/terminal.ts';

/** Set by the bundler from package.json. */
declare const __VERSION__: string | undefined;

/** The entry point: environment and arguments in, exit status out. The only place that ends the process. */
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
  });
  exitOnDefect(log);
  const basis: Basis = {
    configuration,
    secrets,
    log,
    version: typeof __VERSION__ === 'string' ? __VERSION__ : 'development',
    signal: watchSignals(),
    write: writeWhole,
    terminal: terminalOf(() => process.stdout, configuration.colour),
    keyboard: keyboardOf(() => process.stdin),
  };
  await leave(await dispatch(argv, basis));
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
function exitOnDefect(log: Log): void {
  process.on('uncaughtException', (error) => {
    log.error('this is a defect of the entrypoint: please report it', {
      error: error.stack ?? messageOf(error),
    });
    void leave(ExitCode.internal);
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
  return controller.signal;
}

/** Synchronous, so that nothing is lost when the process ends; a reader that has gone away is no error of ours. */
function writeWhole(chunk: string | Buffer, stream: 'stdout' | 'stderr'): void {
  const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
  const descriptor = stream === 'stdout' ? 1 : 2;
  for (let written = 0; written < bytes.length;) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'EAGAIN') continue;
      if (code === 'EPIPE') return;
      throw error;
    }
  }
}

/**
 * Ends the process. `exit` waits for Node's threads, for ever if one of them is in a file-system call that a dead disk
 * never answers; becoming another program ends them. A call that was under way when something else failed is given time.
 */
async function leave(status: number): Promise<never> {
  await new Promise((resolve) => setImmediate(resolve));
  for (let waited = 0; isInFileCall(); waited += fixedLimits.LEAVE_POLL) {
    if (waited >= fixedLimits.LEAVE_PATIENCE) {
      writeWhole(hungLine(status), 'stderr');
      becomeProcess(['/bin/sh', '-c', `exit ${status}`], {});
    }
    await new Promise((resolve) => setTimeout(resolve, fixedLimits.LEAVE_POLL));
  }
  process.exit(status);
}

function isInFileCall(): boolean {
  return process.getActiveResourcesInfo().some((resource) => resource.startsWith('FSReq'));
}

main().catch(async (error: unknown) => {
  process.stderr.write(`ERROR: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  await leave(ExitCode.internal);
});
