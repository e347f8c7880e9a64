/**
 * How an agent reconnects, in simulated time: its share of time offline, and what a server sees of a thousand hosts.
 */
import { variableOf, type LimitName, type Limits } from '../../../src/support/limits/limits.ts';
import { healthyAnswer, startSimulatedAgent, unreachable } from './simulated-agent.ts';
import { SimulatedTime } from './simulated-time.ts';

const second = 1_000;
const twelveHours = 12 * 3_600 * second;
/** The legacy entrypoint runs the script, sleeps 5 s and runs it again, whatever happened (control-plane §5.1). */
const legacyPause = 5 * second;

export interface Reconnecting {
  /** How long each connection lives, in ms. */
  readonly lifeMs: number;
  /** Simulated time, in ms. */
  readonly totalMs?: number;
  /** From the start of a bootstrap to its connection, in ms: the same for both, and offline time for both. */
  readonly startUpMs?: number;
  /** The exit status of each run. */
  readonly status?: number;
  readonly limits?: Partial<Limits>;
}

/** One agent with connections of the same length, one after the other; adds up the time that they live. */
class Connections {
  readonly #time = new SimulatedTime();
  readonly #options: Required<Reconnecting>;
  #online = 0;
  #since: number | undefined;

  constructor(options: Reconnecting) {
    this.#options = { totalMs: twelveHours, startUpMs: 0, status: 0, limits: {}, ...options };
  }

  async #live(): Promise<void> {
    await this.#time.sleep(this.#options.startUpMs);
    this.#since = this.#time.now;
    await this.#time.sleep(this.#options.lifeMs);
    this.#online += this.#time.now - this.#since;
    this.#since = undefined;
  }

  async measure(start: (time: SimulatedTime, live: () => Promise<void>) => void): Promise<number> {
    const { totalMs } = this.#options;
    start(this.#time, async () => this.#live());
    await this.#time.passUntil(totalMs);
    const online = this.#online + (this.#since === undefined ? 0 : totalMs - this.#since);
    return (100 * (totalMs - online)) / totalMs;
  }
}

/** The share of time without a connection, in percent: the real loop, with a clock of our own. */
export async function simulateOffline(options: Reconnecting): Promise<number> {
  return new Connections(options).measure((time, live) => {
    startSimulatedAgent({
      time,
      number: 1,
      answer: healthyAnswer,
      environment: environmentOf(options.limits ?? {}),
      run: async () => {
        await live();
        return { status: options.status ?? 0, signal: null };
      },
    });
  });
}

/** The same for the legacy entrypoint. */
export async function simulateLegacyOffline(options: Reconnecting): Promise<number> {
  return new Connections(options).measure((time, live) => {
    const loop = async (): Promise<never> => {
      for (;;) {
        await live();
        await time.sleep(legacyPause);
      }
    };
    void loop();
  });
}

/** The most that may be offline beside the legacy entrypoint, in percent (issue 14, item 6). */
export function offlineLimit(legacy: number): number {
  return 1.3 * legacy + 1;
}

export interface Herd {
  readonly hosts: number;
  /** How long their connections have lived when the server loses all of them, in ms. */
  readonly afterMs: number;
  /** How long the server is away then, in ms. */
  readonly outageMs: number;
}

export interface Return {
  /** Hosts that get a script in the same second, at most. */
  readonly peak: number;
  /** From when the server is back until the last of them has its script, in ms. */
  readonly withinMs: number;
}

/** What a server sees of its hosts after it has lost all of them in one second. */
export async function simulateReturn({ hosts, afterMs, outageMs }: Herd): Promise<Return> {
  const time = new SimulatedTime();
  const backAt: number[] = [];
  for (let number = 0; number < hosts; number++) {
    let runs = 0;
    startSimulatedAgent({
      time,
      number,
      answer: (request) =>
        time.now >= afterMs && time.now < afterMs + outageMs ? unreachable() : healthyAnswer(request),
      run: async () => {
        if (runs++ === 0) await time.sleep(afterMs);
        else {
          backAt.push(time.now - afterMs - outageMs);
          await new Promise(() => undefined);
        }
        return { status: 0, signal: null };
      },
    });
  }
  await time.passUntil(afterMs + outageMs + 600 * second);
  if (backAt.length !== hosts) throw new Error(`${backAt.length} of ${hosts} hosts are back`);
  return { peak: peakOf(backAt), withinMs: Math.max(...backAt) };
}

function peakOf(times: readonly number[]): number {
  const perSecond = new Map<number, number>();
  for (const at of times) {
    const bucket = Math.floor(at / second);
    perSecond.set(bucket, (perSecond.get(bucket) ?? 0) + 1);
  }
  return Math.max(...perSecond.values());
}

function environmentOf(limits: Partial<Limits>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(limits).map(([name, value]) => [variableOf(name as LimitName), String(value)]),
  );
}
