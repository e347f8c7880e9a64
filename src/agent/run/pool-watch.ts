import type { ContainerDetails } from '../../engine/engine.ts';
import { ExitCode, messageOf } from '../../support/errors.ts';
import type { Host } from '../host.ts';
import type { Reporter } from '../report/reporter.ts';
import { judgePool, poolIsFull } from '../worker/storage-guard.ts';

export interface PoolWatch extends Pick<Host, 'engine' | 'names' | 'limits' | 'clock' | 'log' | 'signal'> {
  /** Our own container: its storage driver is the engine's. */
  readonly own: Pick<ContainerDetails, 'storageDriver'> | undefined;
  readonly reporter: Reporter;
}

/**
 * While the agent is active on a host with devicemapper: the state of the host says that the metadata of the pool is full,
 * because everything that would fill it further, or that it would leave half done, has stopped (invariant 10). A person can
 * extend it. Looks every HOUSEKEEPING_TURNS, until the signal is aborted.
 */
export async function watchPool(watch: PoolWatch): Promise<void> {
  const { own, limits, clock, log, signal } = watch;
  if (own?.storageDriver !== 'devicemapper') return;
  for (;;) {
    try {
      await lookOnce(watch);
    } catch (error) {
      signal.throwIfAborted();
      log.debug('the pool could not be read', { error: messageOf(error) });
    }
    await clock.sleep(limits.HOUSEKEEPING * limits.HOUSEKEEPING_TURNS, signal);
  }
}

/** Writes a state only over one that is `ok`, or over its own: a worker at work, and any other trouble, come first. */
async function lookOnce({ engine, own, names, limits, reporter }: PoolWatch): Promise<void> {
  const verdict = await judgePool(engine, own, limits);
  const before = await reporter.readBefore();
  const isOwn = before?.cause === 'storage-low' && before.summary.startsWith(poolIsFull);
  if (verdict.kind === 'low' && verdict.isReadOnly) {
    if (isOwn || before?.state !== 'ok') return;
    await reporter.ended({
      state: 'deferred',
      exitCode: ExitCode.tryAgainLater,
      cause: 'storage-low',
      summary: `${poolIsFull}; ${names.agent} keeps running, and nothing is removed or upgraded`,
      hint: verdict.advice,
      next: 'the agent looks again every 5 minutes',
    });
  } else if (isOwn) {
    const summary = `${names.agent} runs; the pool has room again`;
    await reporter.ended({ state: 'ok', exitCode: ExitCode.ok, summary });
  }
}
