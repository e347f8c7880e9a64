import { judgeError } from '../agent/report/outcome.ts';
import { createReporter } from '../agent/report/reporter.ts';
import { findRancherFolder } from '../doctor/probe-host.ts';
import { StorageLowError } from '../host/errors.ts';
import { messageOf } from '../support/errors.ts';
import { silentLog } from '../support/log.ts';
import type { Context } from './context.ts';

/**
 * Does work that may be refused because the storage is low, before there is a worker that reports it: then the state of the
 * host is `deferred`, as far as its folder can be reached from here.
 * @throws what the work throws
 */
export async function reportingRefusal<T>(context: Context, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StorageLowError) await reportRefusal(context, error);
    throw error;
  }
}

async function reportRefusal(context: Context, refusal: StorageLowError): Promise<void> {
  const { configuration, log } = context;
  try {
    const paths = await findRancherFolder(configuration.paths);
    if (paths === undefined) {
      log.info('the state of this host does not show this: /var/lib/rancher is not mounted here');
      return;
    }
    // The error itself is the last line that a person reads.
    const reporter = createReporter({
      ...context,
      configuration: { ...configuration, paths },
      log: silentLog,
    });
    await reporter.ended(judgeError(refusal));
  } catch (error) {
    log.debug('the state could not be written', { error: messageOf(error) });
  }
}
