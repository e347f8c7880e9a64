import type { ContainerDetails, ContainerExit, LogWriter } from '../../../engine/engine.ts';
import type { Host } from '../../host.ts';

/**
 * The caller's side of the work. There is at most one worker at work on a host: the name of its container is the outer lock,
 * which the daemon enforces. A caller creates the worker. If it finds one, it follows that one until it exits, and then tries
 * again. Killing the caller does not stop the worker: the signal only stops the following.
 */
export interface WorkerCall extends Pick<Host, 'engine' | 'names' | 'limits' | 'clock' | 'log' | 'signal'> {
  /** Volume for `/var/lib/rancher` on hosts where that folder cannot be created. */
  readonly stateVolume: string;
  /** Gets a copy of the worker's log. */
  readonly write: (chunk: Buffer, stream: 'stdout' | 'stderr') => void;
}

/** A worker that can be followed: this caller has created it, or it is managed. */
export interface Worker extends Pick<ContainerDetails, 'id' | 'name' | 'labels' | 'startedAt'> {
  readonly exit?: Promise<ContainerExit>;
  /** Copies all that it prints; missing for one that somebody else has created, whose log is followed instead. */
  readonly copyOutput?: (write: LogWriter) => Promise<void>;
}

/** Hung: its work is over, but its process cannot exit until a disk of the host responds. */
export type WorkerEnd = 'gone' | { readonly status: number; readonly isHung?: boolean };
