import type { Readable } from 'node:stream';
import { DeadlineError, withDeadline } from '../support/deadline.ts';
import { EntrypointError } from '../support/errors.ts';
import { fixedLimits } from '../support/limits/fixed.ts';
import type { PullCall } from './engine.ts';
import { EngineError } from './errors.ts';
import { unavailable, type Transport } from './transport.ts';

export interface PullOptions {
  readonly reference: string;
  /** A pull that reports nothing for this long (ms) hangs. */
  readonly silenceMs: number;
  readonly onProgress: (text: string) => void;
}

/**
 * The query of `POST /images/create` for `repo`, `repo:tag`, `repo@sha256:…` or `repo:tag@sha256:…`. No tag means `latest`,
 * never all tags; a tag together with a digest is ignored.
 */
export function pullQuery(reference: string): Record<string, string> {
  const [named = '', digest] = reference.split('@', 2);
  const colonAt = named.lastIndexOf(':');
  const hasTag = colonAt > named.lastIndexOf('/');
  const fromImage = hasTag ? named.slice(0, colonAt) : named;
  return { fromImage, tag: digest ?? (hasTag ? named.slice(colonAt + 1) : 'latest') };
}

/** Pulls an image, as `Engine.pullImage` says. @param signals each of them ends the pull */
export async function pullOver(
  transport: Transport,
  reference: string,
  call: Pick<PullCall, 'onProgress' | 'auth' | 'totalMs'> & {
    readonly silenceMs: number;
    readonly signals: readonly AbortSignal[];
  },
): Promise<void> {
  const { onProgress, auth, totalMs, silenceMs, signals } = call;
  const what = `pull image ${reference}`;
  const total = AbortSignal.timeout(totalMs);
  try {
    const stream = await transport.openStream({
      what,
      method: 'POST',
      path: '/images/create',
      query: pullQuery(reference),
      ...(auth === undefined ? {} : { auth }),
      accept: [200],
      deadlineMs: silenceMs,
      signal: AbortSignal.any([total, ...signals]),
    });
    await followPull(stream, { reference, silenceMs, onProgress });
  } catch (error) {
    for (const signal of signals) signal.throwIfAborted();
    if (error instanceof EntrypointError) throw error;
    throw unavailable(what, total.aborted ? new DeadlineError(`${what} to its end`, totalMs) : error);
  }
}

/**
 * Reads a pull's progress to its end. The engine has answered 200 by then: a failure is a line of its own, which
 * dockerode's `followProgress` reports as success.
 * @throws EngineError with the engine's message; DeadlineError when nothing is reported for `silenceMs`; the error of a
 * broken connection
 */
export async function followPull(stream: Readable, options: PullOptions): Promise<void> {
  const what = `pull image ${options.reference}`;
  try {
    for await (const line of linesOf(stream, what, options.silenceMs)) {
      readPullLine(what, line, options.onProgress);
    }
  } finally {
    stream.destroy();
  }
}

async function* linesOf(stream: Readable, what: string, silenceMs: number): AsyncGenerator<string> {
  const iterator: AsyncIterator<Buffer> = stream[Symbol.asyncIterator]();
  const decoder = new TextDecoder();
  let pending = '';
  for (;;) {
    const next = await withDeadline(what, silenceMs, async () => iterator.next());
    if (next.done === true) break;
    pending += decoder.decode(next.value, { stream: true });
    const lines = pending.split('\n');
    pending = lines.pop() ?? '';
    yield* lines;
    if (pending.length > fixedLimits.PULL_LINE)
      throw new EngineError(
        what,
        200,
        `a line of its progress is longer than ${fixedLimits.PULL_LINE} bytes`,
      );
  }
  yield pending;
}

function readPullLine(what: string, line: string, onProgress: (text: string) => void): void {
  if (line.trim() === '') return;
  const fields = parseLine(line);
  if (fields === undefined) return;
  if (typeof fields['error'] === 'string')
    throw new EngineError(what, statusOfPullError(fields), fields['error']);
  if (typeof fields['status'] === 'string' && fields['progress'] === undefined) onProgress(fields['status']);
}

/** A line that is not JSON comes from a program between us and the engine; the end of the stream decides about the pull. */
function parseLine(line: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function statusOfPullError(fields: Record<string, unknown>): number {
  const detail = fields['errorDetail'];
  if (typeof detail === 'object' && detail !== null && 'code' in detail) {
    const code = Number(detail.code);
    if (code >= 400) return code;
  }
  return 500;
}
