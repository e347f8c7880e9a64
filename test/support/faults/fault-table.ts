/**
 * The fault matrix as data: phases × faults, each with its expected end. The tests run every cell on a real engine;
 * scripts/check/render-pages.ts prints it for the docs.
 */

/** Phases of an upgrade, in order; a fault strikes right before the worker's request that begins the phase. */
export const phases = [
  'preflight',
  'pull',
  'create next',
  'start',
  'ready',
  'stop',
  'park',
  'promote',
  'verify',
  'watch',
  'discard',
] as const;
export type Phase = (typeof phases)[number];

export const faults = [
  'worker killed',
  'caller killed',
  'both killed',
  'daemon killed and started',
  'reboot',
  'daemon frozen 30 s',
  'answer cut off',
  'answer lost',
  'one 500',
  '500 for ever',
  'no space',
  'no inodes',
  'removal impossible',
  'name taken by an unmanaged container',
  'agent of a tenant appears',
  'worker killed, and its name taken',
  'storage read-only',
  'status file is a FIFO',
  'status file is a link',
  'status file of 100 MB',
  'hostile agent.conf',
  'hostile lock files',
  'lock stale',
  'lock held by a live one',
  'status folder not writable',
  'registry away',
  'registry hangs in a layer',
  'image not in the registry',
] as const;
export type Fault = (typeof faults)[number];

/** The result of the upgrade that is struck. In each case one agent runs, and the next start reaches the target. */
export type Ending =
  /** Exit 0: the new agent is active, nothing else is left. */
  | 'reached'
  /** The caller is gone; the host reaches the target without anybody asking again. */
  | 'reached without the caller'
  /** Caller and worker are gone; the host has one agent, the old or the new one, without anybody asking again. */
  | 'mends itself'
  /** An error status; the old agent was never stopped. */
  | 'untouched'
  /** An error status; the old agent was stopped and is back. */
  | 'rolled back'
  /** Exit 73: the new agent runs, the old one cannot be removed and is named. */
  | 'degraded'
  /** Exit 75: nothing was touched, come back later. */
  | 'deferred'
  /** Any of these results is right: it depends on what still fits on the disk. */
  | 'reached or untouched or back'
  /** An error status; an agent runs, and what is left is settled by the next start. */
  | 'unfinished';

/** Either a result, or the reason why there is no such test. */
export type Cell = { readonly ends: Ending } | { readonly senseless: string };

type Row = Partial<Record<Phase, Ending | { readonly senseless: string }>> & {
  readonly otherwise: Ending | { readonly senseless: string };
};

const onlyPulled = { senseless: 'the registry is asked at "pull" alone' };
const likeFifo = { senseless: 'the file is treated like the FIFO; three phases show it' };
const lockOnce = { senseless: 'the lock is taken once, at preflight' };

const table: Readonly<Record<Fault, Row>> = {
  'worker killed': { otherwise: 'reached' },
  'caller killed': { otherwise: 'reached without the caller' },
  'both killed': {
    otherwise: 'mends itself',
    preflight: { senseless: 'nothing was begun: the same as no upgrade at all' },
    'create next': { senseless: 'the old agent does not know of it before its next start; see crash points' },
    start: { senseless: 'the old agent does not know of it before its next start; see crash points' },
  },
  'daemon killed and started': { otherwise: 'unfinished' },
  reboot: { otherwise: 'mends itself' },
  'daemon frozen 30 s': { otherwise: 'reached' },
  'answer cut off': { otherwise: 'reached' },
  'answer lost': { otherwise: 'reached' },
  'one 500': { otherwise: 'reached' },
  '500 for ever': {
    otherwise: 'untouched',
    // Where the next agent cannot be looked at, the worker goes on looking for 5 min.
    ready: 'unfinished',
    park: 'rolled back',
    promote: 'rolled back',
    verify: 'unfinished',
    watch: 'unfinished',
    discard: 'degraded',
  },
  'no space': { otherwise: 'reached or untouched or back', preflight: 'deferred', pull: 'deferred' },
  'no inodes': { otherwise: 'reached or untouched or back', preflight: 'deferred', pull: 'deferred' },
  'removal impossible': { otherwise: 'degraded' },
  'name taken by an unmanaged container': {
    otherwise: { senseless: 'no name is needed in this phase' },
    // There are spare names; for the agent's own name there is none.
    'create next': 'reached',
    park: 'reached',
    promote: 'unfinished',
  },
  'agent of a tenant appears': {
    otherwise: 'reached',
    // It has the agent's own name, for which there is no spare one.
    promote: 'unfinished',
  },
  // There is a spare name, and the caller goes on under it.
  'worker killed, and its name taken': {
    otherwise: 'reached',
    pull: {
      senseless:
        'the agent asks again after a pause, as after any end of its worker; the other phases show the name',
    },
  },
  'storage read-only': {
    otherwise: 'degraded',
    preflight: 'untouched',
    'create next': 'untouched',
    pull: { senseless: 'the engine refuses a pull as it refuses a creation' },
  },
  'status file is a FIFO': { otherwise: 'reached' },
  'status file is a link': { otherwise: likeFifo, preflight: 'reached', park: 'reached', watch: 'reached' },
  'status file of 100 MB': { otherwise: likeFifo, preflight: 'reached', park: 'reached', watch: 'reached' },
  'hostile agent.conf': {
    otherwise: { senseless: 'nobody reads agent.conf in this phase' },
    // The worker reads it before it creates the next agent; that one when it starts, and when it becomes active.
    preflight: 'reached',
    start: 'reached',
    promote: 'reached',
  },
  'hostile lock files': {
    otherwise: {
      senseless: 'the holder looks after its lock every few seconds, in any phase; three show it',
    },
    preflight: 'reached',
    ready: 'reached',
    watch: 'reached',
  },
  'lock stale': { otherwise: lockOnce, preflight: 'reached' },
  'lock held by a live one': { otherwise: lockOnce, preflight: 'deferred' },
  'status folder not writable': { otherwise: 'reached' },
  'registry away': { otherwise: onlyPulled, pull: 'untouched' },
  'registry hangs in a layer': { otherwise: onlyPulled, pull: 'untouched' },
  'image not in the registry': { otherwise: onlyPulled, pull: 'untouched' },
};

/** What the table says of a phase and a fault. */
export function cellOf(phase: Phase, fault: Fault): Cell {
  const row = table[fault];
  const entry = row[phase] ?? row.otherwise;
  return typeof entry === 'string' ? { ends: entry } : entry;
}

/** The matrix as a Markdown table, with the reasons of the cells that make no sense below it. */
export function renderMatrix(): string {
  const reasons: string[] = [];
  const rows = faults.map((fault) => {
    const cells = phases.map((phase) => {
      const cell = cellOf(phase, fault);
      if ('ends' in cell) return cell.ends;
      if (!reasons.includes(cell.senseless)) reasons.push(cell.senseless);
      return `– (${reasons.indexOf(cell.senseless) + 1})`;
    });
    return `| ${[fault, ...cells].join(' | ')} |`;
  });
  return [
    `| fault \\ phase | ${phases.join(' | ')} |`,
    `|${' --- |'.repeat(phases.length + 1)}`,
    ...rows,
    '',
    ...reasons.map((reason, index) => `${index + 1}. ${reason}`),
    '',
  ].join('\n');
}

/** The page docs/development/fault-matrix.md. */
export function renderFaultPage(): string {
  return `# The fault matrix

Each cell is a test on a real engine (test/engine/faults/matrix-*.test.ts): the fault strikes right before the worker's request
that begins the phase. The cell shows the result of the upgrade that is struck. In every cell some agent runs, the keys
are kept, and at most six containers were created, all under fixed names. After the fault is lifted, the next start reaches
the target and leaves one agent and nothing else, with state \`ok\`.

At "ready" the next agent proves on standby that it can serve, and the old one is not touched yet; at "watch" the new agent is
active, and its bootstrap is watched while the old agent is still parked.

At "pull" the agent itself is the caller: its server requires an image that the host does not have, and its worker pulls it from
a small registry. In the other columns the caller is the container that the server's script starts.

\`scripts/test\` runs every cell on Docker 20.10, and a sample with its API pinned to 1.22 (Docker 1.10.3: no AutoRemove, no change
of restart policies, no \`State\` in lists, a dead container cannot be inspected). \`scripts/long/fault-matrix --api 1.22\` runs every cell so.

${renderMatrix()}
- **reached**: exit 0, the new agent is active. **reached without the caller**: the same, nobody followed the worker.
- **mends itself**: with caller and worker gone, the host comes back to one agent without anybody asking.
- **untouched**: an error status and state \`failed\`; the old agent was not replaced. **rolled back**: it was stopped and is back.
- **degraded**: exit 73, the new agent runs, the old one cannot be removed and is named.
- **deferred**: exit 75, nothing was touched.
- **unfinished**: interrupted by the fault itself; an agent runs, the next start reconciles the rest.

Generated by \`npm run pages\`. Do not edit.
`;
}
