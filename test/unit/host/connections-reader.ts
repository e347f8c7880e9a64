/** Looks for a connection of process 1 in a folder that stands for /proc, and prints the sight. usage: FOLDER */
import { lookForConnection } from '../../../src/host/connections.ts';

const [proc = ''] = process.argv.slice(2);
const limits = { deadlineMs: 60_000, maxProcesses: 10, maxFiles: 10 };
process.stdout.write(await lookForConnection({ proc, pid: 1, localPorts: [], ...limits }));
