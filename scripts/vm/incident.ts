/**
 * The incident in a virtual machine, step by step; see scripts/incident-vm. What came of each step is kept after each step, so that
 * a run that is stopped has its figures.
 *
 * exit status: 0 all went as described, 1 it did not, 64 usage
 */
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { saveImages } from './images.ts';
import { Machine } from './machine.ts';
import { writePage, writeFigures, type Figures } from './page.ts';
import { Replay } from './replay.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const CACHE = join(ROOT, '.cache', 'incident-vm');
const DISK_BYTES = 8 * 2 ** 30;

process.exitCode = await main();

async function main(): Promise<number> {
  const wish = readArguments();
  if (wish === undefined) return 64;
  await mkdir(wish.to, { recursive: true });
  const work = await mkdtemp(join(CACHE, 'run-'));
  const sockets = await mkdtemp(join(tmpdir(), 'rah-vm-'));
  const ending = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => ending.abort());
  let machine: Machine | undefined;
  let replay: Replay | undefined;
  try {
    const archive = await saveImages(CACHE);
    console.log('booting');
    machine = await Machine.boot({
      ...{ system: wish.system, work, sockets, diskBytes: DISK_BYTES, archive, signal: ending.signal },
    });
    const keep = async (figures: Figures): Promise<void> => writeFigures(wish.to, figures);
    replay = await Replay.start({ machine, metadataMb: wish.metadata, keep, signal: ending.signal });
    await replay.heldDevice();
    await replay.untilCleanup();
    if (!wish.short) await replay.fullPool();
    const figures = await replay.figures();
    await writeFigures(wish.to, figures);
    if (wish.page) await writePage(join(ROOT, 'docs', 'development'), figures);
    const isAsDescribed = figures.steps.every((step) => step.isAsDescribed);
    if (wish.hold && !isAsDescribed) await hold(machine, ending.signal);
    return isAsDescribed ? 0 : 1;
  } catch (error) {
    console.error(`incident-vm: ${error instanceof Error ? error.message : String(error)}`);
    if (!ending.signal.aborted && machine !== undefined) {
      console.error(await machine.describe());
      if (wish.hold) await hold(machine, ending.signal);
    }
    return 1;
  } finally {
    await replay?.stop();
    await machine?.stop();
    await rm(sockets, { recursive: true, force: true });
    await rm(work, { recursive: true, force: true });
  }
}

/** Leaves the machine to a person, until the script is told to end. */
async function hold(machine: Machine, signal: AbortSignal): Promise<void> {
  console.log(
    `the machine runs until this script is ended (Ctrl-C, or kill ${process.pid}): ${machine.sshCommand}`,
  );
  if (!signal.aborted) await once(signal, 'abort');
}

interface Wish {
  readonly system: string;
  readonly metadata: number;
  readonly short: boolean;
  readonly page: boolean;
  readonly hold: boolean;
  readonly to: string;
}

function readArguments(): Wish | undefined {
  try {
    const { values } = parseArgs({
      options: {
        system: { type: 'string', default: '' },
        metadata: { type: 'string', default: '4' },
        short: { type: 'boolean', default: false },
        page: { type: 'boolean', default: false },
        hold: { type: 'boolean', default: false },
        to: { type: 'string', default: join(CACHE, 'figures') },
      },
    });
    const metadata = Number(values.metadata);
    if (!Number.isInteger(metadata) || metadata < 4 || metadata > 8)
      throw new Error('--metadata: a whole number from 4 to 8');
    return { ...values, metadata };
  } catch (error) {
    console.error(`incident-vm: ${error instanceof Error ? error.message : String(error)} (see --help)`);
    return undefined;
  }
}
