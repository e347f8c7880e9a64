import { cleanUpHost, readCleanupOptions } from '../commands/cleanup.ts';
import { createContext, type Context } from '../commands/context.ts';
import { examineHost } from '../commands/doctor.ts';
import { inspectHost } from '../commands/inspect-host.ts';
import { keeper } from '../commands/keeper.ts';
import { register, registerUrl } from '../commands/register.ts';
import { run } from '../commands/run.ts';
import { readStatusReport, watchStatus } from '../commands/status.ts';
import type { StatusReport } from '../commands/status-report.ts';
import { upgrade } from '../commands/upgrade.ts';
import { worker } from '../commands/worker.ts';
import { becomeProcess } from '../host/become.ts';
import {
  EntrypointError,
  exitCodeOf,
  ExitCode,
  InterruptedError,
  messageOf,
  saidBeyond,
} from '../support/errors.ts';
import { forceFlag, parseArguments, type CommandName, type Request } from './arguments.ts';
import { createCleanupScreen } from './cleanup-screen.ts';
import { renderHelp } from './help.ts';
import { renderDoctor } from './render-doctor.ts';
import { renderChange, renderStatus } from './render-status.ts';

/** What `main` has set up before the command line is looked at. */
export type Basis = Omit<Parameters<typeof createContext>[0], 'command'>;

/**
 * From the arguments to the exit status. Every error ends here, as one line that says what to do.
 * @param argv the arguments without the program
 */
export async function dispatch(argv: readonly string[], basis: Basis): Promise<number> {
  try {
    return await perform(parseArguments(argv).request, basis);
  } catch (error) {
    tell(basis, error);
    return error instanceof InterruptedError ? interruptedStatus(argv, error) : exitCodeOf(error);
  }
}

async function perform(request: Request, basis: Basis): Promise<number> {
  switch (request.kind) {
    case 'nothing':
      basis.log.error('One parameter required');
      return ExitCode.noArgument;
    case 'help':
      basis.write(renderHelp(basis.version, basis.terminal.columns), 'stdout');
      return ExitCode.ok;
    case 'version':
      basis.write(`${basis.version}\n`, 'stdout');
      return ExitCode.ok;
    case 'become':
      return becomeProcess(request.command, basis.configuration.environment);
    case 'register-url':
      return registerUrl(createContext({ ...basis, command: 'register' }), request.url, request.force);
    case 'command':
      return performCommand(request.name, request.args, createContext({ ...basis, command: request.name }));
  }
}

async function performCommand(name: CommandName, args: readonly string[], context: Context): Promise<number> {
  switch (name) {
    case 'register':
      return register(context, args.includes(forceFlag));
    case 'upgrade':
      return upgrade(context, args.includes(forceFlag));
    case 'inspect-host':
      return inspectHost(context);
    case 'run':
      return run(context);
    case 'worker':
      return worker(context, args);
    case 'status':
      return args.includes('--watch')
        ? watch(context, args.includes('--json'))
        : showStatus(context, args.includes('--json'));
    case 'doctor':
      return showDiagnosis(context, args.includes('--json'));
    case 'cleanup':
      return cleanUpHost(
        context,
        readCleanupOptions(args),
        createCleanupScreen(context, args.includes('--json')),
      );
    case 'keeper':
      return keeper(context, args);
    case 'state':
      context.write('Rancher State\n', 'stdout');
      return ExitCode.ok;
  }
}

async function showStatus(context: Context, asJson: boolean): Promise<number> {
  const report = await readStatusReport(context);
  const text = asJson
    ? `${JSON.stringify(report, undefined, 2)}\n`
    : renderStatus(report, context.clock.now(), context.terminal);
  context.write(context.secrets.scrub(text), 'stdout');
  return ExitCode.ok;
}

/** Draws the screen anew on a terminal; elsewhere a line, or one line of JSON, for each change. Ends with Ctrl-C: 0. */
async function watch(context: Context, asJson: boolean): Promise<number> {
  const { terminal, secrets, write, clock } = context;
  let before = '';
  await watchStatus(context, (report) => {
    if (terminal.interactive && !asJson) {
      const hint = `${' '.repeat(11)}looked at ${report.checkedAt}; Ctrl-C ends\n`;
      write(clearScreen + secrets.scrub(renderStatus(report, clock.now(), terminal)) + hint, 'stdout');
      return;
    }
    const change = changeOf(report);
    if (change === before) return;
    before = change;
    write(secrets.scrub(asJson ? `${JSON.stringify(report)}\n` : renderChange(report)), 'stdout');
  });
  return ExitCode.ok;
}

/** Cursor home, and erase the screen from there (ECMA-48): without a flicker, and the scrollback stays. */
const clearScreen = '\u001B[H\u001B[J';

/** What counts as a change: not the passing of time. */
function changeOf({ verdict, status, containers }: StatusReport): string {
  const state = status.kind === 'valid' ? [status.status.state, status.status.summary] : [status.kind];
  const present = 'problem' in containers ? [] : containers.map(({ id, name, state }) => [id, name, state]);
  return JSON.stringify([verdict, state, present]);
}

/** @returns 0 healthy, 1 warnings, 2 sick */
async function showDiagnosis(context: Context, asJson: boolean): Promise<number> {
  const diagnosis = await examineHost(context);
  const text = asJson
    ? `${JSON.stringify(diagnosis, undefined, 2)}\n`
    : renderDoctor(diagnosis, context.terminal);
  context.write(context.secrets.scrub(text), 'stdout');
  return diagnosis.exitCode;
}

/** What the old script did ends with 1 on a signal (contract §2); our own commands say which signal it was. */
function interruptedStatus(argv: readonly string[], error: InterruptedError): number {
  const isOwn = ['worker', 'keeper', 'status', 'doctor', 'cleanup'].some((name) => argv.includes(name));
  return isOwn ? error.exitCode : ExitCode.noArgument;
}

function tell({ log, secrets, write }: Basis, error: unknown): void {
  if (!(error instanceof EntrypointError)) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error('this is a defect of the entrypoint: please report it', { error: stack });
    return;
  }
  const said = saidBeyond(error.message, error.said);
  log.error(said === '' ? error.message : `${error.message} (${said})`, { cause: error.code });
  if (error.hint !== undefined) log.info(`what to do: ${error.hint}`);
  if (error.code === 'usage') write(secrets.scrub(`usage: ${usage}\n`), 'stderr');
  log.debug('stack', { stack: error.stack ?? messageOf(error) });
}

const usage =
  'docker run … IMAGE URL [--force] | register [--force] | upgrade [--force] | inspect-host | run | status | doctor | cleanup | state | -- CMD ARG… | --help';
