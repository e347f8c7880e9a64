/** `doctor --bundle`. */
export const bundleLimits = {
  /** Lines of each container's log: some hours of an agent, and every line of a worker. */
  BUNDLE_LOG_LINES: 500,
  /** Reading one log from an engine under load. */
  BUNDLE_LOG: 20_000,
  /** After the doctor's own time: inspections and logs of a few containers, and ten files. */
  BUNDLE_TOTAL: 60_000,
  /** Bytes of one section: 500 log lines of the usual length take a third of it. */
  BUNDLE_SECTION: 131_072,
  /** Bytes: an issue form takes more, and a person can still read it. */
  BUNDLE_BYTES: 2_097_152,
} as const;
