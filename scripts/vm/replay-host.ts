/** The host in the virtual machine, as a person reaches it: a shell, Docker's client, the commands of the agent. */
import { execFile } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from './machine.ts';
import { parsePoolSample, type PoolSample } from './pool.ts';
import { lookAtPool } from './prepare-pool.ts';

/** For a command that works. Emulation is slow. */
export const COMMAND_MS = 10 * 60_000;
/** For a command that looks. */
export const SHORT_MS = 2 * 60_000;
/** Until a state that the agent reaches without help. */
const AGENT_MS = 12 * 60_000;
const POLL_MS = 5_000;

export interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What is read of the status file. */
export interface AgentState {
  readonly state?: string;
  readonly cause?: string;
  readonly summary?: string;
}

/** What is read of the doctor's report; see docs/json.md. */
export interface Diagnosis {
  readonly status: number;
  readonly causes: readonly string[];
  readonly findings: readonly {
    readonly check: string;
    readonly text: string;
    readonly cause?: string;
    readonly advice?: string;
  }[];
}

export class ReplayHost {
  readonly #machine: Machine;
  readonly #signal: AbortSignal;

  constructor(machine: Machine, signal: AbortSignal) {
    this.#machine = machine;
    this.#signal = signal;
  }

  /** Containers that leaked are too young to be removed before. */
  async passAnHour(): Promise<void> {
    await this.inMachine('date -s "+1 hour" >/dev/null', SHORT_MS);
  }

  async countContainers(): Promise<number> {
    const { stdout } = await this.docker(SHORT_MS, 'ps', '-aq');
    return stdout.split('\n').filter((line) => line !== '').length;
  }

  async countDead(): Promise<number> {
    const filters = ['--filter', 'status=dead', '--filter', 'status=removing'];
    const { stdout } = await this.docker(SHORT_MS, 'ps', '-aq', ...filters);
    return stdout.split('\n').filter((line) => line !== '').length;
  }

  async readPool(): Promise<PoolSample> {
    const line = await this.inMachine(lookAtPool, SHORT_MS);
    const sample = parsePoolSample(line);
    if (sample === undefined) throw new Error(`dmsetup status: ${line}`);
    return sample;
  }

  async readState(): Promise<AgentState> {
    const file = '/var/lib/rancher/entrypoint/status.json';
    const text = await this.inMachine(`cat ${file} 2>/dev/null || echo '{}'`, SHORT_MS);
    return JSON.parse(text) as AgentState;
  }

  /** What the doctor says, in the agent's container. @param options of `docker exec` */
  async diagnose(...options: readonly string[]): Promise<Diagnosis> {
    const doctor = ['exec', ...options, 'rancher-agent', '/run.sh', 'doctor', '--json'];
    const { status, stdout, stderr } = await this.docker(COMMAND_MS, ...doctor);
    try {
      return { ...(JSON.parse(stdout) as Omit<Diagnosis, 'status'>), status };
    } catch {
      throw new Error(`doctor: ${status}: ${stderr.slice(-300)}`);
    }
  }

  async waitFor<Value>(look: () => Promise<Value | undefined>): Promise<Value | undefined> {
    const deadline = performance.now() + AGENT_MS;
    while (performance.now() < deadline) {
      this.#signal.throwIfAborted();
      const value = await look();
      if (value !== undefined) return value;
      await sleep(POLL_MS, undefined, { signal: this.#signal });
    }
    return undefined;
  }

  async agent(...args: readonly string[]): Promise<Result> {
    return this.docker(COMMAND_MS, 'exec', 'rancher-agent', '/run.sh', ...args);
  }

  /** The docker client of this machine, on the engine of the other one: emulation would slow it down. */
  async docker(deadlineMs: number, ...args: readonly string[]): Promise<Result> {
    const { engineSocket } = this.#machine;
    return new Promise((resolve) => {
      const options = { timeout: deadlineMs, killSignal: 'SIGKILL', maxBuffer: 16 * 2 ** 20 } as const;
      execFile('docker', ['--host', `unix://${engineSocket}`, ...args], options, (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 124;
        resolve({ status, stdout, stderr });
      });
    });
  }

  async inMachine(command: string, deadlineMs: number): Promise<string> {
    return this.#machine.run(command, deadlineMs);
  }
}
