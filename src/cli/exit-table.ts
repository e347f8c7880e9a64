import { ExitCode } from '../support/errors.ts';

/** What an exit status says; the help and docs/exit-codes.md are rendered from this table. */
export interface ExitRow {
  /** As a person reads it: `73`, or `0, 1, 2` of one command. */
  readonly status: string;
  readonly meaning: string;
  /** What only the page has room for. */
  readonly more?: string;
}

const meanings: Readonly<Record<keyof typeof ExitCode, Omit<ExitRow, 'status'>>> = {
  ok: {
    meaning: 'done, or nothing to do',
    more: 'Also if nobody observes whether the agent serves: state `degraded`, cause `serving-unknown`.',
  },
  noArgument: {
    meaning: 'no argument; SIGTERM or SIGINT stopped a command other than the worker and cleanup',
  },
  usage: { meaning: 'wrong command line' },
  unavailable: { meaning: 'the engine or the server is unavailable' },
  internal: {
    meaning: 'a defect of this program',
    more: 'Please report it, with the last lines of the log.',
  },
  cannotChange: {
    meaning: 'a container could not be created, removed or kept running, or the new agent cannot serve',
    more:
      'State `failed`: the image is at fault, or a container could not be created or changed. State `degraded`: the new ' +
      'agent stays and does not serve, or a container cannot be removed. Also if `/var/lib/rancher` cannot be written.',
  },
  tryAgainLater: {
    meaning: 'try again later: lock held, work in progress, back-off, storage low, server busy',
    more: 'State `deferred`. A required upgrade is tried again automatically; one that a person asked for is not.',
  },
  notPermitted: {
    meaning: 'not permitted: the Docker socket, or keys that the server refuses',
    more: 'Also a registration token that the server refuses.',
  },
  badConfiguration: {
    meaning:
      'bad configuration: URL, address, fingerprint, variables; no agent to upgrade; keys of another server',
  },
  interrupted: {
    meaning: 'SIGINT stopped the worker or cleanup at a safe point',
    more: 'The caller of that worker exits with the same status.',
  },
  terminated: {
    meaning: 'SIGTERM stopped the worker or cleanup at a safe point',
    more: 'The caller of that worker exits with the same status.',
  },
};

/** Statuses of one command that mean something else there. */
const ofOneCommand: readonly ExitRow[] = [
  { status: '0, 1, 2', meaning: 'of doctor: healthy, warnings, unhealthy' },
  {
    status: '0, 73, 75, 77',
    meaning: 'of ready: ready; the image cannot serve; the server or the network fails; keys refused',
  },
  { status: '0', meaning: 'of status, whatever it shows' },
];

/** Every exit status, in ascending order, and then those of one command. */
export const exitTable: readonly ExitRow[] = [
  ...(Object.keys(ExitCode) as (keyof typeof ExitCode)[])
    .toSorted((a, b) => ExitCode[a] - ExitCode[b])
    .map((name) => ({ status: String(ExitCode[name]), ...meanings[name] })),
  ...ofOneCommand,
];
