import { findAttempt, nextAttemptAt, parseAttempts } from '../../host/attempts.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Clock } from '../../support/clock.ts';
import type { Configuration } from '../../support/configuration.ts';
import { formatDuration } from '../../support/deadline.ts';
import { messageOf, TryAgainLaterError } from '../../support/errors.ts';
import type { Log } from '../../support/log.ts';
import { isAgentContainer, standsBy, type RoleNames } from '../roles.ts';

export interface BackOff {
  readonly engine: Engine;
  readonly names: RoleNames;
  readonly configuration: Pick<Configuration, 'limits'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * A legacy agent's server asks for an upgrade every few seconds. While an image is in back-off, its caller waits here and creates
 * no worker: each container costs pool metadata (readiness.md, 3). The record of attempts lies in the host's folder, which the
 * caller does not have: it is read in the agent's container, with a limit.
 * @param image as the server's script named it
 * @throws TryAgainLaterError when the time is over, or the caller is to end
 */
export async function waitOutBackOff(backOff: BackOff, image: string): Promise<void> {
  const { configuration, clock, log, signal } = backOff;
  const text = await readRecord(backOff);
  const record = text === undefined ? undefined : findAttempt(parseAttempts(text).attempts, image);
  const next = nextAttemptAt(record, configuration.limits, clock.now());
  if (next === undefined) return;
  const pause = Math.min(configuration.limits.ATTEMPT_PAUSE_MAX, next - clock.now());
  const summary = `the last attempt at ${image} failed (${record?.cause ?? 'interrupted'})`;
  log.warn(`${summary}: no worker is created for ${formatDuration(pause)}`);
  await clock.sleep(pause, signal);
  throw new TryAgainLaterError(`${summary}: the back-off is over`, {
    hint: 'the next try creates a worker; `doctor` says what is wrong with the image',
  });
}

/** @returns undefined where no legacy agent runs, or there is no record */
async function readRecord({ engine, names, configuration, log }: BackOff): Promise<string | undefined> {
  for (const name of [names.agent, ...names.legacyAgents]) {
    const agent = await engine.inspectContainer(name);
    if (agent?.state !== 'running' || !isAgentContainer(agent) || standsBy(agent.labels)) continue;
    try {
      const { status, stdout } = await engine.execute(agent.id, {
        command: ['cat', '/var/lib/rancher/entrypoint/attempts.json'],
        deadlineMs: configuration.limits.INSPECT,
        maxBytes: configuration.limits.READY_BYTES,
      });
      if (status === 0) return stdout;
    } catch (error) {
      log.debug(`the record of attempts could not be read in ${name}`, { error: messageOf(error) });
    }
  }
  return undefined;
}
