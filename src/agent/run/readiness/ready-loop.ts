import { chmod, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomically } from '../../../host/files/files.ts';
import { formatDuration } from '../../../support/deadline.ts';
import { messageOf } from '../../../support/errors.ts';
import type { Limits } from '../../../support/limits/limits.ts';
import { printableValue } from '../../../support/printable.ts';
import { doubling } from '../../../support/retry.ts';
import { proveAgain, proveReadiness, type Proof, type ReadinessProbe } from './readiness.ts';
import type { StagedBefore } from '../bootstrap/loop-parts.ts';
import type { StagedBootstrap } from './checks/script.ts';
import { readinessChecks, readinessFile, type ReadinessFailure, type ReadinessResult } from './result.ts';

/** Which start of which container the result is of, as the engine says. */
export interface ContainerStart {
  readonly id: string;
  /** Milliseconds since 1970; undefined if the engine does not say. */
  readonly startedAt: number | undefined;
  readonly restartCount: number;
}

export interface ReadinessWatch extends ReadinessProbe {
  readonly own: ContainerStart;
  /** `readinessFile`, unless a test passes its own. */
  readonly file?: string;
}

/** An agent on standby that proves its readiness again and again. */
export interface ProvingReadiness {
  /** Stops at once, waits for nothing. @returns the script that the promoted agent runs first, if one is staged */
  handOver(): StagedBefore | undefined;
}

/**
 * Proves the readiness of an agent on standby and keeps the result in its file, until `handOver` or the signal. While not
 * ready the checks are repeated every READY_RETRY_MIN, growing to READY_RETRY_MAX, or as the server asks for. While ready
 * one small request every READY_REFRESH keeps the result young; the script and the image's curl are tried again after
 * READY_SCRIPT_AGE.
 */
export function keepProvingReadiness(watch: ReadinessWatch): ProvingReadiness {
  const over = new AbortController();
  const signal = AbortSignal.any([watch.signal, over.signal]);
  const rounds = new Rounds({ ...watch, signal });
  rounds.run().catch((error: unknown) => {
    if (!signal.aborted) watch.log.error('the readiness is not proven any more', { error: messageOf(error) });
  });
  return {
    handOver: () => {
      over.abort(new Error('the agent was promoted'));
      return rounds.handOver();
    },
  };
}

class Rounds {
  readonly #watch: ReadinessWatch;
  #staged: StagedBootstrap | undefined;
  #failures = 0;
  #keysAccepted = false;
  #refusedSince: number | undefined;
  #reported = '';
  #isUnwritable = false;

  constructor(watch: ReadinessWatch) {
    this.#watch = watch;
  }

  handOver(): StagedBefore | undefined {
    const staged = this.takeStaged();
    return staged === undefined ? undefined : { ...staged, keysAccepted: this.#keysAccepted };
  }

  takeStaged(): StagedBootstrap | undefined {
    const staged = this.#staged;
    this.#staged = undefined;
    return staged;
  }

  /** Ends only when the signal is aborted. */
  async run(): Promise<never> {
    const { clock, signal, configuration } = this.#watch;
    for (;;) {
      const begun = clock.elapsed();
      const proof = this.#confirmed(await this.#prove());
      this.#failures = proof.failure === undefined ? 0 : this.#failures + 1;
      this.#keysAccepted = proof.passed.includes('keys');
      this.#tell(proof, clock.elapsed() - begun);
      await this.#write(proof);
      const pause =
        proof.failure === undefined
          ? configuration.limits.READY_REFRESH
          : choosePause(
              proof.failure,
              this.#failures,
              configuration.limits,
              clock.random(),
              this.#untilConfirmed(),
            );
      await clock.sleep(pause, signal);
    }
  }

  async #prove(): Promise<Proof> {
    if (this.#failures === 0 && this.#isScriptYoung() && (await proveAgain(this.#watch)) === undefined) {
      return { passed: readinessChecks, warnings: [] };
    }
    const proof = await proveReadiness(this.#watch, { sideBySide: this.#reported === '' });
    if (proof.staged !== undefined) await this.#replaceStaged(proof.staged);
    return proof;
  }

  #isScriptYoung(): boolean {
    const { clock, configuration } = this.#watch;
    const { READY_SCRIPT_AGE, READY_REFRESH } = configuration.limits;
    // Not yet too old at the next look either.
    return (
      this.#staged !== undefined &&
      clock.elapsed() - this.#staged.fetchedAt < READY_SCRIPT_AGE - READY_REFRESH
    );
  }

  async #replaceStaged(staged: StagedBootstrap): Promise<void> {
    const before = this.takeStaged();
    // Promoted while it was being staged: the promoted agent fetches its own.
    if (this.#watch.signal.aborted) await staged.script.dispose();
    else this.#staged = staged;
    await before?.script.dispose();
  }

  /** Keys count as refused when they were refused twice, READY_KEYS_CONFIRM apart, and not accepted in between. */
  #confirmed(proof: Proof): Proof {
    const { failure, passed } = proof;
    if (passed.includes('keys')) this.#refusedSince = undefined;
    if (failure?.fault !== 'keys') return proof;
    this.#refusedSince ??= this.#watch.clock.elapsed();
    return this.#untilConfirmed() === 0 ? { ...proof, failure: { ...failure, confirmed: true } } : proof;
  }

  #untilConfirmed(): number | undefined {
    if (this.#refusedSince === undefined) return undefined;
    const { clock, configuration } = this.#watch;
    return Math.max(0, configuration.limits.READY_KEYS_CONFIRM - (clock.elapsed() - this.#refusedSince));
  }

  #tell({ failure, warnings }: Proof, took: number): void {
    const { log } = this.#watch;
    const result = failure === undefined ? 'ready' : failure.cause;
    if (result === this.#reported) return;
    this.#reported = result;
    for (const warning of warnings) log.warn(warning);
    if (failure === undefined) log.info(`ready: every check passed within ${formatDuration(took)}`);
    else log.warn(`not ready: ${failure.message}`, { cause: failure.cause, check: failure.check });
  }

  /** A result that cannot be written is asked for by `run.sh ready`. */
  async #write(proof: Proof): Promise<void> {
    const { file = readinessFile, log, signal } = this.#watch;
    try {
      await writeResult(file, composeResult(proof, this.#watch));
      this.#isUnwritable = false;
    } catch (error) {
      signal.throwIfAborted();
      if (!this.#isUnwritable) log.warn('the readiness cannot be written down', { error: messageOf(error) });
      this.#isUnwritable = true;
    }
  }
}

/**
 * Pure: how long until the next try. Half a pause is chance, so that a thousand hosts do not come in step.
 * @param failures in a row, from 1
 * @param random in [0, 1)
 * @param untilConfirmed ms until refused keys can be confirmed; 0 when they are
 */
export function choosePause(
  failure: ReadinessFailure,
  failures: number,
  limits: Limits,
  random: number,
  untilConfirmed?: number,
): number {
  const whole = doubling(limits.READY_RETRY_MIN, limits.READY_RETRY_MAX)(failures);
  const own = Math.max(limits.READY_RETRY_MIN, whole * (0.5 + random / 2));
  const asked = Math.min(failure.retryAfterMs ?? 0, limits.READY_RETRY_AFTER);
  const pause = Math.max(own, asked);
  return Math.round(
    untilConfirmed === undefined || untilConfirmed === 0 ? pause : Math.min(pause, untilConfirmed),
  );
}

/** The result as it stands in the file and in `run.sh ready --json`. */
export function composeResult(
  { passed, failure, warnings }: Proof,
  { own, clock, configuration }: Pick<ReadinessWatch, 'own' | 'clock' | 'configuration'>,
): ReadinessResult {
  return {
    version: 1,
    container: own.id,
    startedAt: own.startedAt ?? 0,
    restartCount: own.restartCount,
    checkedAt: clock.elapsed(),
    server: URL.parse(configuration.environment['CATTLE_URL'] ?? '')?.origin ?? '',
    ready: failure === undefined,
    passed: [...passed],
    ...(failure === undefined ? {} : { failure }),
    ...(warnings.length === 0 ? {} : { warnings: [...warnings] }),
  };
}

/** Not synced: a result of before a power cut is not believed anyway. */
async function writeResult(file: string, result: ReadinessResult): Promise<void> {
  const folder = dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  await writeFileAtomically(file, `${JSON.stringify(result, printableValue)}\n`, {
    mode: 0o600,
    sync: false,
  });
}
