import { release } from 'node:os';
import { connectEngine } from '../engine/docker-engine.ts';
import type { Engine } from '../engine/engine.ts';
import { collect } from '../doctor/collect.ts';
import { diagnose, type Diagnosis } from '../doctor/diagnosis.ts';
import type { HostSnapshot } from '../doctor/snapshot.ts';
import type { Limits } from '../support/limits/limits.ts';
import { silentLog } from '../support/log.ts';
import { whenRefusedIn, type Context } from './context.ts';

/** What the doctor has collected, and what is wrong. */
export interface Examination {
  readonly snapshot: HostSnapshot;
  readonly diagnosis: Diagnosis;
}

/** `doctor`: checks this host and reports what is wrong; changes nothing and creates nothing. */
export async function doctor(context: Context): Promise<Diagnosis> {
  return (await examine(context)).diagnosis;
}

/** The same with everything that was collected. */
export async function examine(context: Context): Promise<Examination> {
  const { configuration, clock } = context;
  const begun = clock.elapsed();
  const snapshot = await collect({
    ...context,
    kernelRelease: release(),
    connect: async () => connectPatiently(context),
  });
  return { snapshot, diagnosis: diagnose(snapshot, configuration.limits, clock.elapsed() - begun) };
}

/**
 * One try for each call, as long as a probe may take: a second try only adds to the load of an engine that hardly answers.
 * @param changes of the limits
 */
export async function connectPatiently(context: Context, changes: Partial<Limits> = {}): Promise<Engine> {
  const { configuration, clock, version, command, signal } = context;
  const { DOCTOR_CALL, DOCTOR_INSPECT } = configuration.limits;
  return connectEngine({
    socketPath: configuration.socketPath,
    whenRefused: whenRefusedIn(configuration),
    apiVersion: configuration.apiVersion,
    userAgent: `rancher-agent-entrypoint/${version} (${command})`,
    limits: {
      ...configuration.limits,
      CALL_TRIES: 1,
      ENGINE_CONNECT: DOCTOR_CALL,
      LIST: DOCTOR_CALL,
      INFO: DOCTOR_CALL,
      INSPECT: DOCTOR_INSPECT,
      ...changes,
    },
    // Only what the engine says is odd; what fails is in the findings.
    log: {
      ...silentLog,
      warn: (message, fields) => {
        context.log.warn(message, fields);
      },
    },
    clock,
    signal,
  });
}
