import { isHtml } from '../../../control-plane/http/answer.ts';
import type { HttpResponse } from '../../../control-plane/http/message.ts';
import { readKeptTrust } from '../../../control-plane/trust-store.ts';
import { requireHttps } from '../../../control-plane/transport.ts';
import { joinUrl } from '../../../control-plane/url.ts';
import { runCommand, type CommandRunner } from '../../../host/processes.ts';
import { ConfigurationError, ServerUnavailableError } from '../../../support/errors.ts';
import type { Profile } from '../../identity/profile.ts';
import {
  caFileOf,
  openConnection,
  readAgentSettings,
  type AgentSettings,
  type ServerAccess,
  type TrustedConnection,
} from '../../../control-plane/open-connection.ts';
import { checkCurl, withTrust } from './checks/curl.ts';
import { checkKeys } from './checks/keys.ts';
import { checkPrograms } from './checks/programs.ts';
import { checkScript, type StagedBootstrap } from './checks/script.ts';
import { readinessChecks, type ReadinessCheck, type ReadinessFailure } from './result.ts';
import { composeEnvironment } from '../bootstrap/script-environment.ts';
import { scriptPrograms } from '../bootstrap/script-programs.ts';
import { fixedLimits } from '../../../support/limits/fixed.ts';
import { failureOf } from '../bootstrap/server-faults.ts';

/*
 * What a next agent proves on standby (readiness §1). Invariants:
 *
 *   1. Nothing outside this container is changed, and nothing is asked of the server that has an effect there: two GETs of
 *      `scripts/bootstrap`, by our own client and by the image's curl, and one of `schemas/configcontent`.
 *   2. The first check that fails, in the order of `readinessChecks`, is the one that is reported, whichever finishes first.
 *   3. Every request has a deadline; the checks side by side take as long as the slowest of them.
 */

export interface ReadinessProbe extends ServerAccess {
  readonly profile: Profile;
  /** `runCommand`, unless a test passes its own. */
  readonly run?: CommandRunner;
}

/** What one run of the checks has shown. */
export interface Proof {
  readonly passed: readonly ReadinessCheck[];
  /** The first check that failed; left out when ready. */
  readonly failure?: ReadinessFailure;
  readonly warnings: readonly string[];
  /** When ready: the script as it will be run. Whoever gets it disposes of it. */
  readonly staged?: StagedBootstrap;
}

/**
 * Runs the checks once.
 * @param sideBySide all requests at once, for the first answer as soon as possible; otherwise one after the other, so that a
 *   server in trouble gets one request and not four
 * @throws the signal's reason when aborted
 */
export async function proveReadiness(
  probe: ReadinessProbe,
  { sideBySide }: { readonly sideBySide: boolean },
): Promise<Proof> {
  const over = new AbortController();
  const attempt = new Attempt({ ...probe, signal: AbortSignal.any([probe.signal, over.signal]) });
  try {
    return await attempt.prove(sideBySide);
  } catch (error) {
    probe.signal.throwIfAborted();
    throw error;
  } finally {
    // What still goes on behind a check that failed.
    over.abort(new Error('the checks are over'));
    void attempt.disposeUnlessTaken();
  }
}

/** The cheap request again: the name, the way, TLS and the keys in one. @returns the failure; undefined when still ready */
export async function proveAgain(probe: ReadinessProbe): Promise<ReadinessFailure | undefined> {
  const attempt = new Attempt(probe);
  return attempt.check('keys');
}

interface Way {
  readonly settings: AgentSettings;
  readonly connection: TrustedConnection;
}

/** One run of the checks: what several of them need is had once. */
class Attempt {
  readonly #probe: ReadinessProbe;
  #warnings: readonly string[] = [];
  #staged: StagedBootstrap | undefined;
  #taken = false;
  #way: Promise<Way> | undefined;
  #answer: Promise<{ readonly response: HttpResponse; readonly fetchedAt: number }> | undefined;

  constructor(probe: ReadinessProbe) {
    this.#probe = probe;
  }

  async prove(sideBySide: boolean): Promise<Proof> {
    const begun = sideBySide ? this.#beginAll() : undefined;
    const passed: ReadinessCheck[] = [];
    for (const check of readinessChecks) {
      const failure = await (begun?.get(check) ?? this.check(check));
      if (failure !== undefined) return { passed, failure, warnings: this.#warnings };
      passed.push(check);
    }
    this.#taken = true;
    const staged = this.#staged;
    return { passed, warnings: this.#warnings, ...(staged === undefined ? {} : { staged }) };
  }

  /** @returns why it failed; undefined when it passed */
  async check(check: ReadinessCheck): Promise<ReadinessFailure | undefined> {
    try {
      return await this.#perform(check);
    } catch (error) {
      this.#probe.signal.throwIfAborted();
      const isServers = error instanceof ServerUnavailableError || error instanceof ConfigurationError;
      // The look at the programs asks no server.
      if (check !== 'programs' && isServers) {
        return failureOf(check, error, this.#probe.clock.now());
      }
      throw error;
    }
  }

  async disposeUnlessTaken(): Promise<void> {
    this.#taken = this.#taken && this.#staged !== undefined;
    if (!this.#taken) await this.#staged?.script.dispose();
  }

  #beginAll(): ReadonlyMap<ReadinessCheck, Promise<ReadinessFailure | undefined>> {
    return new Map(
      readinessChecks.map((check) => {
        const checking = this.check(check);
        // Of those behind one that failed nobody reads the end.
        checking.catch(() => undefined);
        return [check, checking];
      }),
    );
  }

  async #perform(check: ReadinessCheck): Promise<ReadinessFailure | undefined> {
    switch (check) {
      case 'programs':
        return this.#checkPrograms();
      case 'server':
        return this.#checkServer();
      case 'curl':
        return this.#checkCurl();
      case 'keys':
        return this.#checkKeys();
      case 'script':
        return this.#checkScript();
    }
  }

  async #checkPrograms(): Promise<ReadinessFailure | undefined> {
    const { profile, configuration } = this.#probe;
    const verdict = await checkPrograms(scriptPrograms[profile.name], configuration.environment);
    this.#warnings = verdict.warnings;
    return verdict.failure;
  }

  async #checkServer(): Promise<ReadinessFailure | undefined> {
    const { response } = await this.#fetchScript();
    if (response.status === 200 && !isHtml(response)) return undefined;
    return failureOf('server', response, this.#probe.clock.now());
  }

  async #checkCurl(): Promise<ReadinessFailure | undefined> {
    const { configuration, secrets, signal, run = runCommand } = this.#probe;
    const { settings, connection } = await this.#openWay();
    const caFile = caFileOf(configuration.paths);
    const kept = (await readKeptTrust(caFile)).ca.length > 0 ? caFile : undefined;
    const trust = { ca: connection.trust.ca, kept, folder: configuration.paths.staging[0] ?? '/tmp' };
    return withTrust(composeEnvironment(configuration, settings), trust, async (environment) =>
      checkCurl({
        cattleUrl: settings.cattleUrl,
        environment,
        limits: configuration.limits,
        run,
        signal,
        scrub: (text) => secrets.scrub(text),
      }),
    );
  }

  async #checkKeys(): Promise<ReadinessFailure | undefined> {
    const { configuration, clock } = this.#probe;
    const { settings, connection } = await this.#openWay();
    return checkKeys(connection.client, settings, configuration.limits, () => clock.now());
  }

  async #checkScript(): Promise<ReadinessFailure | undefined> {
    const { configuration, signal } = this.#probe;
    const answer = await this.#fetchScript();
    const { limits, paths } = configuration;
    const verdict = await checkScript(answer, { folders: paths.staging, limits, signal });
    if ('failure' in verdict) return verdict.failure;
    this.#staged = verdict.staged;
    // Another check failed meanwhile.
    if (signal.aborted) await this.disposeUnlessTaken();
    return undefined;
  }

  async #openWay(): Promise<Way> {
    return (this.#way ??= this.#open());
  }

  async #open(): Promise<Way> {
    const { configuration } = this.#probe;
    const settings = readAgentSettings(configuration.environment);
    // Our own client refuses that by itself, the image's curl does not.
    requireHttps(settings.cattleUrl, configuration.environment);
    // One try at the handshake: the loop that checks has pauses of its own.
    const limits = {
      ...configuration.limits,
      SERVER_TRIES: 1,
      HTTP_TOTAL: configuration.limits.READY_REQUEST,
    };
    const access = { ...this.#probe, configuration: { ...configuration, limits } };
    const connection = await openConnection(access, settings.cattleUrl, { tools: false, readOnly: true });
    return { settings, connection };
  }

  async #fetchScript(): Promise<{ readonly response: HttpResponse; readonly fetchedAt: number }> {
    return (this.#answer ??= this.#fetch());
  }

  async #fetch(): Promise<{ readonly response: HttpResponse; readonly fetchedAt: number }> {
    const { settings, connection } = await this.#openWay();
    const url = joinUrl(settings.cattleUrl, 'scripts/bootstrap');
    const response = await connection.client.request({
      method: 'GET',
      url,
      maxBytes: fixedLimits.SERVER_SCRIPT,
    });
    return { response, fetchedAt: this.#probe.clock.elapsed() };
  }
}
