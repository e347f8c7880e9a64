import { cpus, totalmem } from 'node:os';

/** This machine in general terms: nobody's name, no address, no model. */
export function describeMachine(): string {
  return `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB of memory, a virtual machine`;
}
