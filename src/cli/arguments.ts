import { UsageError } from '../support/errors.ts';

/** What the command line asks for. */
export type Request =
  | { readonly kind: 'command'; readonly name: CommandName; readonly args: readonly string[] }
  | { readonly kind: 'register-url'; readonly url: string; readonly force: boolean }
  | { readonly kind: 'become'; readonly command: readonly [string, ...string[]] }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'nothing' };

/** The commands, for the help. The `internalCommands` stay out of it. */
export const commandTable = {
  register: 'register this host with the URL in RANCHER_URL',
  upgrade:
    "replace this host's agent with one from this image, with its keys and settings (--offline: do not ask the server)",
  'inspect-host': 'print the facts of this host and its token, as lines INFO: env "NAME=VALUE"',
  run: "what the agent's container runs: keep the server's bootstrap running",
  status: 'show whether this host is healthy, what it does, since when, what is next (--watch, --json)',
  cleanup: 'remove what the legacy entrypoint leaked (--dry-run, --yes, --stop-agent, --json)',
  doctor:
    'check this host, report what is wrong and what to do; changes nothing (--json; --bundle FILE: also write a report)',
  ready: "check, here and now, whether this image can work for the agent's server; changes nothing (--json)",
  state: 'print "Rancher State" (for the state container of rancher/agent v1.0.x)',
} as const;

/** For `upgrade`, `register` and a registration URL; the other commands ignore it. */
export const forceFlag = '--force';

/** For `upgrade`: the new agent is promoted without asking the server. */
export const offlineFlag = '--offline';

/** For `upgrade`: the server that the keys of this host belong to. */
export const serverFlag = '--server';

/**
 * The value of `--server URL` or `--server=URL`; undefined without that option.
 * @throws UsageError when the URL is missing
 */
export function readServerOption(args: readonly string[]): string | undefined {
  const at = args.findIndex((argument) => argument === serverFlag || argument.startsWith(`${serverFlag}=`));
  if (at < 0) return undefined;
  const value = args[at] === serverFlag ? args[at + 1] : args[at]?.slice(serverFlag.length + 1);
  if (value !== undefined && isUrl(value)) return value;
  throw new UsageError(`upgrade: ${serverFlag} needs the URL of the server`, {
    hint: `upgrade ${serverFlag} https://SERVER`,
  });
}

/** For `doctor`: also write what an issue report needs into a new file. */
export const bundleFlag = '--bundle';

/**
 * The value of `--bundle FILE` or `--bundle=FILE`; undefined without that option.
 * @throws UsageError when the file is missing
 */
export function readBundleOption(args: readonly string[]): string | undefined {
  const value = readOption(args, bundleFlag);
  if (value === undefined || value.text !== undefined) return value?.text;
  throw new UsageError(`doctor: ${bundleFlag} needs the name of a new file`, {
    hint: `docker run … -v "$PWD":/out IMAGE doctor ${bundleFlag} /out/bundle.txt`,
  });
}

/** @returns undefined without the option; without a text where its value is missing */
function readOption(
  args: readonly string[],
  flag: string,
): { readonly text: string | undefined } | undefined {
  const at = args.findIndex((argument) => argument === flag || argument.startsWith(`${flag}=`));
  if (at < 0) return undefined;
  const text = args[at] === flag ? args[at + 1] : args[at]?.slice(flag.length + 1);
  return { text: text === undefined || text === '' || text.startsWith('--') ? undefined : text };
}

/** What a container or a process of ours runs, and no person. */
const internalCommands = ['worker', 'agent-restarter', 'sweep'] as const;

export type CommandName = keyof typeof commandTable | (typeof internalCommands)[number];

/** The commands that the legacy script did not have, with all their options. */
const ownOptions: Readonly<Partial<Record<CommandName, readonly string[]>>> = {
  status: ['--json', '--watch'],
  doctor: ['--json', bundleFlag],
  ready: ['--json'],
  cleanup: ['--dry-run', '--yes', '--stop-agent', '--json'],
};

/**
 * Understands the command line (contract §2). `--debug` may stand anywhere before `--`; `main.ts` has read it before.
 * @throws UsageError for an unknown command, for which the legacy script silently exited with 0
 */
export function parseArguments(argv: readonly string[]): Request {
  const dashes = argv.indexOf('--');
  const before = dashes < 0 ? argv : argv.slice(0, dashes);
  const words = before.filter((word) => word !== '--debug');
  if (dashes >= 0 && words.length === 0) return becomeRequest(argv.slice(dashes + 1));
  return readRequest(words);
}

function readRequest(words: readonly string[]): Request {
  const [first, ...args] = words;
  if (first === undefined) return { kind: 'nothing' };
  if (words.includes('--help') || words.includes('-h') || first === 'help') return { kind: 'help' };
  if (first === '--version' || first === 'version') return { kind: 'version' };
  const force = words.includes(forceFlag);
  if (isUrl(first)) return { kind: 'register-url', url: first, force };
  if (isCommand(first)) return { kind: 'command', name: first, args: checkArguments(first, args) };
  const hint = first.includes('/scripts/')
    ? 'a registration URL begins with http:// or https://'
    : 'see --help for the commands';
  throw new UsageError(`unknown command: ${first}`, { hint });
}

function isUrl(word: string): boolean {
  return word.startsWith('http');
}

/** The commands of the legacy script ignore unknown arguments, as it did: old servers and people may pass some. */
function checkArguments(name: CommandName, args: readonly string[]): readonly string[] {
  if (name === 'register' && args.some(isUrl)) {
    throw new UsageError('register takes no URL: it registers with RANCHER_URL', {
      hint: 'leave out the argument register: the URL alone registers this host',
    });
  }
  const known = ownOptions[name];
  const unknown =
    known === undefined ? undefined : withoutValues(args).find((argument) => !known.includes(argument));
  if (known === undefined || unknown === undefined) return args;
  throw new UsageError(`${name}: unknown argument: ${unknown}`, {
    hint: [name, ...known.map((option) => `[${option}]`)].join(' '),
  });
}

/** `--bundle FILE` and `--bundle=FILE` as `--bundle`. */
function withoutValues(args: readonly string[]): readonly string[] {
  const flags = args.map((argument) => (argument.startsWith(`${bundleFlag}=`) ? bundleFlag : argument));
  return flags.filter((_argument, index) => args[index - 1] !== bundleFlag);
}

function becomeRequest(command: readonly string[]): Request {
  const [program, ...args] = command;
  if (program === undefined) throw new UsageError('-- needs a command', { hint: 'e.g. -- bash' });
  return { kind: 'become', command: [program, ...args] };
}

function isCommand(word: string): word is CommandName {
  return word in commandTable || internalCommands.some((name) => name === word);
}
