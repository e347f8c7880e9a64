import type { Engine } from '../engine/engine.ts';
import type { Clock } from '../support/clock.ts';
import type { Configuration, Paths } from '../support/configuration.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Log } from '../support/log.ts';
import type { Secrets } from '../support/secrets.ts';
import type { Profile } from './identity/profile.ts';
import type { RoleNames } from './identity/roles.ts';

/** The host as the work on it sees it. A function that needs less takes `Pick<Host, …>`. */
export interface Host {
  readonly engine: Engine;
  /** What the containers of each role are called here. */
  readonly names: RoleNames;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the work at a safe point. */
  readonly signal: AbortSignal;
  /** Folders of the host, as this process sees them. */
  readonly paths: Paths;
  readonly secrets: Secrets;
}

/** The same with the settings that it was created from. */
export interface ConfiguredHost extends Host {
  readonly configuration: Configuration;
  readonly profile: Profile;
}

/** What a process knows of its host before it connects to the engine. */
export type HostSettings = Omit<ConfiguredHost, 'engine' | 'limits' | 'paths'>;

/** A host from what a process was started with. Its limits and paths are those of the configuration. */
export function hostOf(settings: HostSettings, engine: Engine): ConfiguredHost {
  const { configuration, profile, names, clock, log, signal, secrets } = settings;
  const { limits, paths } = configuration;
  return { engine, names, limits, paths, clock, log, signal, secrets, configuration, profile };
}
