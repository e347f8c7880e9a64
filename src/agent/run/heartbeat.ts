import { constants, mkdirSync, openSync, readFileSync, unlinkSync, write } from 'node:fs';
import { dirname } from 'node:path';
import type { Limits } from '../../support/limits/limits.ts';

/*
 * The agent's process shows the health check (image/health.sh) that its event loop turns. The file is in the
 * container's own file system: an active agent has the host's /dev, with its /dev/shm, over its own. One block is written over
 * and over, without waiting for the disk, so that a full pool allocates nothing for it.
 *
 * One line of words: seconds since the host started, seconds after which it is stale, `ok` or `restart`, and a sentence.
 */

/** Where the health check looks. */
export const heartbeatFile = '/run/rancher-agent-entrypoint/health';

export interface Heartbeat {
  /** A restart of this container cures something, or (undefined) nothing that it would cure is wrong. */
  setTrouble(message: string | undefined): void;
  /** No more heartbeats: the file goes, and without one a container is healthy. */
  stop(): void;
}

export interface HeartbeatPlaces {
  readonly file: string;
  /** What the shell reads as well: seconds since the host started, the time that it slept included. */
  readonly uptime: string;
}

const places: HeartbeatPlaces = { file: heartbeatFile, uptime: '/proc/uptime' };

/**
 * Starts the heartbeat of this process. Never throws: where it cannot be written from the start, the health check has nothing to
 * go by and finds the container healthy. It keeps no process alive, and a disk that does not answer keeps one write.
 */
export function startHeartbeat(limits: Limits, { file, uptime }: HeartbeatPlaces = places): Heartbeat {
  let trouble: string | undefined;
  let descriptor: number | undefined;
  let isWriting = false;
  const beat = (): void => {
    if (isWriting) return;
    try {
      descriptor ??= openAnew(file);
      const bytes = Buffer.from(lineOf(readFileSync(uptime, 'utf8'), limits, trouble));
      isWriting = true;
      // In place and always as long: a reader sees one whole line.
      write(descriptor, bytes, 0, bytes.length, 0, () => {
        isWriting = false;
      });
    } catch {
      // A read-only or full file system: see above.
    }
  };
  beat();
  const timer = setInterval(beat, limits.HEARTBEAT);
  timer.unref();
  return {
    setTrouble(message) {
      trouble = message;
      beat();
    },
    stop() {
      clearInterval(timer);
      // Not closed: a write that is under way must not meet another file under its number.
      try {
        unlinkSync(file);
      } catch {
        // It was never there.
      }
    },
  };
}

/** Bytes of the line, its end included. */
const lineLength = 256;

function lineOf(uptime: string, limits: Limits, trouble: string | undefined): string {
  const seconds = /^\d+/.exec(uptime)?.[0] ?? '';
  const limit = Math.ceil(limits.HEARTBEAT_STALE / 1000);
  const words = trouble === undefined ? 'ok' : `restart ${trouble.replaceAll(/[^ -~]/g, '?')}`;
  return `${`${seconds} ${limit} ${words}`.slice(0, lineLength - 1).padEnd(lineLength - 1)}\n`;
}

/** @throws system errors */
function openAnew(file: string): number {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  return openSync(file, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
}
