import type { Environment } from '../../support/configuration.ts';
import type { ConfiguredHost } from '../host.ts';
import { hostSocketOf, type OwnMounts } from '../identity/host-socket.ts';
import { chooseStateVolume } from '../identity/profile.ts';
import { followRunningWorker, runThroughWorker, type WorkerCall } from './client.ts';
import { selectWorkerEnvironment, workerVariables, type WorkerTask } from './request.ts';

/** A process that has a worker do something. */
export type Caller = Omit<ConfiguredHost, 'paths' | 'secrets'> & Pick<WorkerCall, 'write'>;

/** What a worker is to do. */
export interface Delegation {
  readonly task: WorkerTask;
  /** The image that the worker itself is created from: that of this process. */
  readonly workerImage: string;
  /** Our own container: the worker gets the socket that it has. */
  readonly own: OwnMounts;
  /** The image that the agent is to be created from; only an upgrade and a registration have one. */
  readonly targetImage?: string;
  /** As the person typed it: it may contain a registration token. */
  readonly registrationUrl?: string;
  /** What the worker learns about its caller: see `describeCaller`. */
  readonly about?: Environment;
}

/** Has a worker do a task with the settings of this process, and follows it. @returns its exit status */
export async function delegate(caller: Caller, delegation: Delegation): Promise<number> {
  const { task, workerImage, own, targetImage, registrationUrl, about } = delegation;
  const { configuration, profile } = caller;
  const environment = {
    ...selectWorkerEnvironment(configuration.environment, task),
    ...(targetImage === undefined ? {} : { [workerVariables.targetImage]: targetImage }),
    ...(registrationUrl === undefined ? {} : { [workerVariables.registrationUrl]: registrationUrl }),
    ...about,
  };
  const hostSocket = await hostSocketOf(profile, configuration.environment, own, configuration.socketPath);
  return runThroughWorker(await callOf(caller), { task, workerImage, environment, hostSocket });
}

/** Follows the worker that runs until it exits. @returns false if there was none */
export async function followWorker(caller: Caller): Promise<boolean> {
  return (await followRunningWorker(await callOf(caller))) !== undefined;
}

async function callOf(caller: Caller): Promise<WorkerCall> {
  return { ...caller, stateVolume: await chooseStateVolume(caller.engine, caller.profile) };
}
