import { createKeptLog } from '../../../../src/host/files/kept-log.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';

/** Says a numbered line every few milliseconds, and says on stdout which one, until it is killed. */
const log = createKeptLog({ path: process.argv[2] ?? '', limits: defaultLimits, onTrouble: console.error });
let originalMessage = 0;
setInterval(() => {
  originalMessage += 1;
  log.write(`line ${originalMessage}\n`);
  process.stdout.write(`${originalMessage}\n`);
}, 2);
