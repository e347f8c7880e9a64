import { createOutput, type OutputName } from '../../../src/support/output.ts';

/*
 * A process that writes lines of 1 kB and then exits, for output.test.ts: with 7 when it has written everything, and with 143 when
 * SIGTERM came first. Its third descriptor tells when all lines were handed over.
 */

const [, , stream = '', lines = ''] = process.argv;
const over = new AbortController();
process.on('SIGTERM', () => {
  over.abort(new Error('SIGTERM'));
});
const output = createOutput();
for (let line = 1; line <= Number(lines); line += 1) {
  output.write(`${String(line).padEnd(1_023)}\n`, stream as OutputName);
}
process.send?.('written');
await output.flushed(over.signal);
process.exit(over.signal.aborted ? 143 : 7);
