import { cpus, loadavg, totalmem } from 'node:os';
import type { TestHost } from '../../test/support/host/test-host.ts';

/** Where and when something was measured. */
export interface Conditions {
  /** Cores, memory and kind of the machine, in general terms: nobody's name, no address, no model. */
  readonly machine: string;
  readonly engine: string;
  readonly driver: string;
  readonly date: string;
  /** Load average of the last 15 minutes at the end: what else the machine does. */
  readonly load: number;
}

/** @param host whose engine was measured; undefined where none was */
export async function describeConditions(host: TestHost | undefined): Promise<Conditions> {
  return {
    machine: `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB of memory, a virtual machine`,
    engine: (await host?.docker('version', '--format', '{{.Server.Version}}')) ?? 'none',
    driver: (await host?.docker('info', '--format', '{{.Driver}}')) ?? 'none',
    date: new Date().toISOString().slice(0, 10),
    load: Math.round(loadavg()[2] ?? 0),
  };
}
