import { release } from 'node:os';
import { connectEngine } from '../engine/docker-engine.ts';
import { diagnose, type Diagnosis } from '../doctor/diagnosis.ts';
import { examine } from '../doctor/collect.ts';
import { silentLog } from '../support/log.ts';
import type { Context } from './context.ts';

/** `doctor`: looks at this host, changes nothing, creates nothing, and says what is wrong. */
export async function examineHost(context: Context): Promise<Diagnosis> {
  const { configuration, names, clock, version, command, signal } = context;
  // One try each, as long as a look may take: a second try at an almost dead engine only adds to its load.
  const { DOCTOR_CALL, DOCTOR_INSPECT } = configuration.limits;
  const limits = {
    ...configuration.limits,
    CALL_TRIES: 1,
    ENGINE_CONNECT: DOCTOR_CALL,
    LIST: DOCTOR_CALL,
    INFO: DOCTOR_CALL,
    INSPECT: DOCTOR_INSPECT,
  };
  const begun = clock.elapsed();
  const record = await examine({
    ...context,
    kernelRelease: release(),
    connect: async () =>
      connectEngine({
        socketPath: configuration.socketPath,
        apiVersion: configuration.apiVersion,
        userAgent: `rancher-agent-entrypoint/${version} (${command})`,
        limits,
        log: silentLog,
        clock,
        signal,
      }),
  });
  return diagnose(record, configuration.limits, names, clock.elapsed() - begun);
}
