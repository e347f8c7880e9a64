/**
 * The demo's outer process. The stages run in a child with a process group of its own, so that Ctrl-C, a kill and a
 * crash all end the same way: the child stops its host, this process removes what is left and exits with the status.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { sweepDeadHosts } from '../../test/support/host/host-slot.ts';

const STAGES = join(import.meta.dirname, 'demo-stages.ts');
/** For the child to stop its host; then it is killed, and the host stops with it. */
const END_GRACE_MS = 20_000;
/** What a shell shows for a process that these signals stopped. */
const STATUS_OF = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [STAGES, ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  child.stdout?.pipe(process.stdout);
  child.stderr?.pipe(process.stderr);
  let interrupted: number | undefined;
  for (const [signal, status] of Object.entries(STATUS_OF)) {
    process.on(signal, () => {
      if (interrupted === undefined) endChild(child);
      interrupted = status;
    });
  }
  const { stays, status } = await awaitEnd(child);
  if (stays) return status;
  await sweepDeadHosts();
  return interrupted ?? status;
}

/** The child exits, or sends its status and keeps its host running. */
function awaitEnd(child: ChildProcess): Promise<{ stays: boolean; status: number }> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ stays: false, status: status ?? 1 }));
    child.once('message', (status) => {
      // Says nothing any more: let go of it.
      child.disconnect();
      child.unref();
      for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      resolve({ stays: true, status: Number(status) });
    });
  });
}

/** The whole group: an image build in progress has processes of its own. */
function endChild({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  signalGroup(pid, 'SIGTERM');
  setTimeout(() => signalGroup(pid, 'SIGKILL'), END_GRACE_MS).unref();
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // exited meanwhile
  }
}
