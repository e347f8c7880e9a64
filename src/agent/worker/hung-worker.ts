/*
 * A process with a thread in a file-system call that never returns (a hanging NFS server, a frozen or failing disk) cannot
 * exit, whatever signal it gets, and its container keeps running. So the process logs the status with which it wants to
 * exit, and its caller does not have to wait for the kernel.
 */

const pattern = /^STUCK: .* \(exit status (\d{1,3})\)$/m;

/** The last log line of such a process. @param status the exit status with which it wants to exit */
export function hungLine(status: number): string {
  return `STUCK: a disk of this host does not answer; this process exits when the disk does, or at once if the kernel allows it (exit status ${status})\n`;
}

/**
 * Searches the log of a process for that line.
 * @param onHung called once, with the exit status of that line, when the process has reported that it cannot exit
 */
export function listenForHung(onHung: (status: number) => void): (chunk: Buffer) => void {
  let tail = '';
  let heard = false;
  return (chunk) => {
    if (heard) return;
    tail = (tail + chunk.toString('utf8')).slice(-mostKept);
    const status = pattern.exec(tail)?.[1];
    if (status === undefined) return;
    heard = true;
    onHung(Number(status));
  };
}

/** Characters: a line may come in two pieces. */
const mostKept = 1_000;
