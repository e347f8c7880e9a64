import { createKeptLog } from '../../../../src/host/files/kept-log.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';

/** Says a numbered line every few milliseconds, and says on stdout which one, until it is killed. */
const log = createKeptLog({ path: process.argv[2] ?? '', limits: defaultLimits, onTrouble: console.error });
let said = 0;
setInterval(() => {
  said += 1;
  log.write(`line ${said}\n`);
  process.stdout.write(`${said}\n`);
}, 2);
