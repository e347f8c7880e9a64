/*
 * A process with a thread in a file-system call that is never answered cannot end: the kernel lets it go only with that
 * call (a hanging NFS server, a frozen or dying disk), whatever signal it gets. Its container goes on running. So it says
 * how it would have exited, so that its caller need not wait for the kernel.
 */

const pattern = /^STUCK: .* \(exit status (\d{1,3})\)$/m;

/** What such a process says last, on a line of its own. @param status the exit status it means to end with */
export function hungLine(status: number): string {
  return `STUCK: a disk of this host does not answer; this process ends when it does, or at once if the kernel lets it (exit status ${status})\n`;
}

/**
 * Reads along with what a process says.
 * @param onHung called once, with the exit status that it meant, when it has reported that it cannot exit
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
