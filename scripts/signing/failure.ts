/** What stops a signature: a sentence for a person, and the exit status. It never contains a key or a password. */
export class Failure extends Error {
  readonly status: 1 | 64 | 69 | 77 | 78;

  constructor(status: Failure['status'], message: string) {
    super(message);
    this.status = status;
  }
}

/** A signature that is missing, or does not fit. */
export function refuse(message: string): Failure {
  return new Failure(1, message);
}
