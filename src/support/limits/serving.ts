/** The limits of serving and of the health check, as in the file beside this one. */
export const servingLimits = {
  BOOTSTRAP_WATCH: {
    value: 60_000,
    unit: 'ms',
    why: 'a bootstrap that cannot work exits within seconds; one that runs for a minute has its websocket',
  },
  BOOTSTRAP_WATCH_EXITS: {
    value: 3,
    unit: 'times',
    why: 'one exit with an error is an accident, three in a row while the server answers are the image or the script',
  },
  SERVING_SILENCE: {
    value: 600_000,
    unit: 'ms',
    why: 'a running bootstrap holds its websocket through a short outage; two polls that fail are no proof yet',
  },
  SERVING_GRACE: {
    value: 120_000,
    unit: 'ms',
    why: 'a first start, or a reconnect after an exit by design, takes seconds; a server that restarts, a minute or two',
  },
  SERVING_TICK: {
    value: 5_000,
    unit: 'ms',
    why: 'how soon the passing of time alone is noticed; nothing but memory is read',
  },
  SERVING_REFRESH: { value: 60_000, unit: 'ms', why: 'an unchanged record is written again this often' },
  SERVING_STALE: {
    value: 180_000,
    unit: 'ms',
    why: 'three refreshes missed: nobody keeps this record any more',
  },
  SERVING_FILE: { value: 65_536, unit: 'bytes', why: 'the record has less than 2 kB' },
  HEARTBEAT: { value: 5_000, unit: 'ms', why: 'one block is written over and over' },
  HEARTBEAT_STALE: {
    value: 60_000,
    unit: 'ms',
    why: 'an event loop that is silent for so long is not only busy; garbage collection and a loaded host take seconds',
  },
  HEALTH_PROBE: {
    value: 30_000,
    unit: 'ms',
    why: 'as often as the health check looks: one connection to the socket, one small file',
  },
  HEALTH_CONNECT: { value: 5_000, unit: 'ms', why: 'a local socket accepts or refuses at once' },
  HEALTH_FILE: { value: 65_536, unit: 'bytes', why: 'resolv.conf has some hundred bytes' },
  HEALTH_LOOKUP: { value: 15_000, unit: 'ms', why: 'a resolver gives up after 5 s for each of its servers' },
} as const;
