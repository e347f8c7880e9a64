import { release } from 'node:os';
import { connectEngine } from '../engine/docker-engine.ts';
import { collect } from '../doctor/collect.ts';
import { diagnose, type Diagnosis } from '../doctor/diagnosis.ts';
import { silentLog } from '../support/log.ts';
import type { Context } from './context.ts';

/** `doctor`: checks this host and reports what is wrong; changes nothing and creates nothing. */
export async function doctor(context: Context): Promise<Diagnosis> {
  const { configuration, clock, version, command, signal } = context;
  // One try each, as long as a probe may take: a second try only adds to the load of an engine that hardly answers.
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
  const snapshot = await collect({
    ...context,
    kernelRelease: release(),
    connect: async () =>
      connectEngine({
        socketPath: configuration.socketPath,
        apiVersion: configuration.apiVersion,
        userAgent: `rancher-agent-entrypoint/${version} (${command})`,
        limits,
        // Only what the engine says is odd; what fails is in the findings.
        log: {
          ...silentLog,
          warn: (message, fields) => {
            context.log.warn(message, fields);
          },
        },
        clock,
        signal,
      }),
  });
  return diagnose(snapshot, configuration.limits, clock.elapsed() - begun);
}
