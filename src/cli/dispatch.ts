import { createContext, ignoreOtherEngines, requireThisEngine, type Context } from '../commands/context.ts';
import type { StatusReport } from '../doctor/status-report.ts';
import {
  EntrypointError,
  exitCodeOf,
  ExitCode,
  InterruptedError,
  messageOf,
  messageBeyond,
} from '../support/errors.ts';
import { safeReport } from '../support/secrets.ts';
import {
  forceFlag,
  offlineFlag,
  parseArguments,
  readBundleOption,
  readServerOption,
  type CommandName,
  type Request,
} from './arguments.ts';

/** What `main` has set up before the command line is read. */
export type Basis = Omit<Parameters<typeof createContext>[0], 'command'>;

/**
 * From the arguments to the exit status. Every error arrives here, and becomes one line that says what to do. The modules of a command
 * are loaded only for that command: `inspect-host` and `--version` cost little more than an empty Node.
 * @param argv the arguments without the program
 */
export async function dispatch(argv: readonly string[], basis: Basis): Promise<number> {
  try {
    return await perform(parseArguments(argv), basis);
  } catch (error) {
    reportError(basis, error);
    return error instanceof InterruptedError ? interruptedStatus(argv, error) : exitCodeOf(error);
  }
}

async function perform(request: Request, basis: Basis): Promise<number> {
  switch (request.kind) {
    case 'nothing':
      basis.log.error('One parameter required');
      showUsage(basis);
      return ExitCode.noArgument;
    case 'help':
      return showHelp(basis);
    case 'version':
      basis.write(`${basis.version}\n`, 'stdout');
      return ExitCode.ok;
    case 'become':
      return become(request.command, basis);
    case 'register-url':
      return registerAt(createContext({ ...basis, command: 'register' }), request.url, request.force);
    case 'command':
      return performCommand(request.name, request.args, createContext({ ...basis, command: request.name }));
  }
}

/** They run in containers that this program created: nobody is there to correct a variable. */
const notTyped: readonly CommandName[] = ['run', 'worker', 'agent-restarter', 'state'];

async function performCommand(name: CommandName, args: readonly string[], given: Context): Promise<number> {
  const context = notTyped.includes(name) ? ignoreOtherEngines(given) : requireThisEngine(given);
  const force = args.includes(forceFlag);
  const asJson = args.includes('--json');
  switch (name) {
    case 'register':
      return (await import('../commands/register.ts')).register(context, force);
    case 'upgrade':
      return (await import('../commands/upgrade.ts')).upgrade(context, {
        force,
        offline: args.includes(offlineFlag),
        serverUrl: readServerOption(args),
      });
    case 'inspect-host':
      return (await import('../commands/inspect-host.ts')).inspectHost(context);
    case 'run':
      return (await import('../commands/run.ts')).run(context);
    case 'worker':
      return (await import('../commands/worker.ts')).worker(context, args);
    case 'status':
      return args.includes('--watch') ? watch(context, asJson) : showStatus(context, asJson);
    case 'doctor':
      return showDiagnosis(context, asJson, readBundleOption(args));
    case 'ready':
      return showReadiness(context, asJson);
    case 'cleanup':
      return cleanUp(context, args, asJson);
    case 'agent-restarter':
      return (await import('../commands/agent-restarter.ts')).restarter(context, args);
    case 'sweep':
      return (await import('../commands/sweep.ts')).sweep(context, args);
    case 'state':
      context.write('Rancher State\n', 'stdout');
      return ExitCode.ok;
  }
}

async function showHelp({ write, version, terminal }: Basis): Promise<number> {
  const { renderHelp } = await import('./help.ts');
  write(renderHelp(version, terminal.columns), 'stdout');
  return ExitCode.ok;
}

async function become(command: readonly [string, ...string[]], { configuration }: Basis): Promise<never> {
  const { becomeProcess } = await import('../host/exec.ts');
  return becomeProcess(command, configuration.environment);
}

async function registerAt(context: Context, url: string, force: boolean): Promise<number> {
  const { registerUrl } = await import('../commands/register.ts');
  return registerUrl(requireThisEngine(context), url, force);
}

async function cleanUp(context: Context, args: readonly string[], asJson: boolean): Promise<number> {
  const [{ cleanup, readCleanupOptions }, { createCleanupScreen }] = await Promise.all([
    import('../commands/cleanup.ts'),
    import('./cleanup-screen.ts'),
  ]);
  return cleanup(context, readCleanupOptions(args), createCleanupScreen(context, asJson));
}

async function showStatus(context: Context, asJson: boolean): Promise<number> {
  const { readStatusReport } = await import('../commands/status.ts');
  const { renderStatus } = await import('./render-status.ts');
  const report = safeReport(await readStatusReport(context), context.secrets);
  const text = asJson
    ? `${JSON.stringify(report, undefined, 2)}\n`
    : context.secrets.scrub(renderStatus(report, context.clock.now(), context.terminal));
  context.write(text, 'stdout');
  return ExitCode.ok;
}

/** Redraws the screen on a terminal; elsewhere a line, or one line of JSON, for each change. After Ctrl-C it exits with 0. */
async function watch(context: Context, asJson: boolean): Promise<number> {
  const { terminal, secrets, write, clock } = context;
  const { watchStatus } = await import('../commands/status.ts');
  const { renderChange, renderStatus } = await import('./render-status.ts');
  let before = '';
  await watchStatus(context, (found) => {
    const report = safeReport(found, secrets);
    if (terminal.interactive && !asJson) {
      const hint = `${' '.repeat(11)}checked at ${report.checkedAt}; Ctrl-C stops\n`;
      write(clearScreen + secrets.scrub(renderStatus(report, clock.now(), terminal)) + hint, 'stdout');
      return;
    }
    const change = changeOf(report);
    if (change === before) return;
    before = change;
    write(asJson ? `${JSON.stringify(report)}\n` : secrets.scrub(renderChange(report)), 'stdout');
  });
  return ExitCode.ok;
}

/** Cursor home, and erase the screen from there (ECMA-48): no flicker, and the scrollback stays. */
const clearScreen = '\u001B[H\u001B[J';

/** What counts as a change: not the passing of time. */
function changeOf({ verdict, causes, status, serving, containers }: StatusReport): string {
  const kindOf = (reading: typeof status | typeof serving): string =>
    'problem' in reading ? 'unknown' : reading.kind;
  const state = 'status' in status ? [status.status.state, status.status.summary] : [kindOf(status)];
  const serves = 'record' in serving ? [serving.record.serving, serving.record.cause] : [kindOf(serving)];
  const present = 'problem' in containers ? [] : containers.map(({ id, name, state }) => [id, name, state]);
  return JSON.stringify([verdict, causes, state, serves, present]);
}

/** @returns 0 healthy, 1 warnings, 2 unhealthy */
async function showDiagnosis(
  context: Context,
  asJson: boolean,
  bundleFile: string | undefined,
): Promise<number> {
  const { doctor } = await import('../commands/doctor.ts');
  const { renderDoctor, renderPlainDoctor } = await import('./render-doctor.ts');
  const found =
    bundleFile === undefined
      ? await doctor(context)
      : await (await import('../commands/bundle.ts')).writeBundle(context, bundleFile, renderPlainDoctor);
  const diagnosis = safeReport(found, context.secrets);
  const text = asJson
    ? `${JSON.stringify(diagnosis, undefined, 2)}\n`
    : context.secrets.scrub(renderDoctor(diagnosis, context.terminal));
  context.write(text, 'stdout');
  return diagnosis.exitCode;
}

/** @returns 0 ready; 73, 75 or 77 by what keeps it from being ready */
async function showReadiness(context: Context, asJson: boolean): Promise<number> {
  const { checkReadiness, exitCodeOfReadiness } = await import('../commands/ready.ts');
  const { renderReady } = await import('./render-ready.ts');
  const result = safeReport(await checkReadiness(context), context.secrets);
  const text = asJson
    ? `${JSON.stringify(result)}\n`
    : context.secrets.scrub(renderReady(result, context.terminal));
  context.write(text, 'stdout');
  return exitCodeOfReadiness(result);
}

/** The commands of the legacy script exit with 1 on a signal (contract §2); the others show which signal it was. */
function interruptedStatus(argv: readonly string[], error: InterruptedError): number {
  const isOwn = ['worker', 'agent-restarter', 'sweep', 'status', 'doctor', 'ready', 'cleanup'].some((name) =>
    argv.includes(name),
  );
  return isOwn ? error.exitCode : ExitCode.noArgument;
}

function reportError(basis: Basis, error: unknown): void {
  const { log } = basis;
  if (!(error instanceof EntrypointError)) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error('this is a defect of the entrypoint: please report it', { error: stack });
    return;
  }
  const originalMessage = messageBeyond(error.message, error.originalMessage);
  log.error(originalMessage === '' ? error.message : `${error.message} (${originalMessage})`, {
    cause: error.code,
  });
  if (error.hint !== undefined) log.info(`what to do: ${error.hint}`);
  if (error.code === 'usage') showUsage(basis);
  log.debug('stack', { stack: error.stack ?? messageOf(error) });
}

function showUsage({ secrets, write }: Basis): void {
  write(secrets.scrub(`usage: ${usage}\n`), 'stderr');
}

const usage =
  'docker run … IMAGE URL [--force] | register [--force] | upgrade [--force] | inspect-host | run | status | doctor | ready | cleanup | state | -- CMD ARG… | --help';
