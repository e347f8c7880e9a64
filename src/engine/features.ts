/** What an engine can do, by its API version (engine-notes §1, measured on 1.22 to 1.51). */
export interface EngineFeatures {
  /** The daemon removes an exited container, even if its client was killed (1.25). */
  readonly autoRemove: boolean;
  /** `wait?condition=next-exit`, safe to ask before the start (1.30). */
  readonly waitConditions: boolean;
  /** The restart policy can be changed later; 1.22 answers 200 and ignores it (1.23). */
  readonly restartUpdate: boolean;
  /** `UsernsMode` (1.23). */
  readonly userNamespace: boolean;
  /** The number of processes of a container can be limited (1.23). */
  readonly pidsLimit: boolean;
  /** A security option has an equals sign between name and value (1.23); a colon before. */
  readonly equalsInSecurityOptions: boolean;
  /**
   * A dead container can be inspected. 1.10.3 lists it but cannot inspect it; 1.25 can; the versions between were not
   * available.
   */
  readonly deadInspection: boolean;
  /** `CgroupnsMode` (1.41). */
  readonly cgroupNamespace: boolean;
}

/** The features of an API version such as `1.22`; what cannot be parsed counts as the oldest. */
export function featuresOf(apiVersion: string): EngineFeatures {
  const minor = minorOf(apiVersion);
  return {
    autoRemove: minor >= 25,
    waitConditions: minor >= 30,
    restartUpdate: minor >= 23,
    userNamespace: minor >= 23,
    pidsLimit: minor >= 23,
    equalsInSecurityOptions: minor >= 23,
    deadInspection: minor >= 25,
    cgroupNamespace: minor >= 41,
  };
}

/** The lower one of two API versions. */
export function lowerVersion(a: string, b: string): string {
  return minorOf(a) <= minorOf(b) ? a : b;
}

/** The higher one of two API versions. */
export function higherVersion(a: string, b: string): string {
  return lowerVersion(a, b) === a ? b : a;
}

function minorOf(apiVersion: string): number {
  const minor = /^1\.(\d{1,3})$/.exec(apiVersion)?.[1];
  return minor === undefined ? 22 : Number(minor);
}
