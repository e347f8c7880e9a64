import { deadlineIn, withDeadline } from '../support/deadline.ts';
import { systemClock } from '../support/clock.ts';
import { shortId } from './containers.ts';
import type { ExecuteCall, ExecuteResult } from './engine.ts';
import { EngineError } from './errors.ts';
import { copyLog } from './log-stream.ts';
import { guard, type EngineRequest, type Transport } from './transport.ts';

/**
 * Runs a command in a running container: create an exec, start it, read what it prints to its end, ask for its status. The
 * same three requests work from API 1.22 on. No Upgrade header: without stdin the answer is an ordinary stream.
 * @throws EngineError, EngineUnavailableError
 */
export async function executeIn(transport: Transport, id: string, call: ExecuteCall): Promise<ExecuteResult> {
  const deadline = deadlineIn(call.deadlineMs, systemClock);
  const what = `run ${call.command[0]} in container ${shortId(id)}`;
  const lifetime = new AbortController();
  const signal =
    call.signal === undefined ? lifetime.signal : AbortSignal.any([lifetime.signal, call.signal]);
  const requestOf = (parts: Pick<EngineRequest, 'method' | 'path' | 'body' | 'accept'>): EngineRequest => ({
    what,
    deadlineMs: Math.max(1, deadline.left()),
    signal,
    ...parts,
  });
  try {
    const created = await transport.request(
      requestOf({
        method: 'POST',
        path: `/containers/${id}/exec`,
        body: { AttachStdout: true, AttachStderr: true, Cmd: call.command },
        accept: [201],
      }),
    );
    const execId = idOf(what, created.text);
    const start = requestOf({
      method: 'POST',
      path: `/exec/${execId}/start`,
      body: { Detach: false, Tty: false },
      accept: [200],
    });
    const stream = await transport.openStream(start);
    const output = await guard(start, async () =>
      withDeadline(
        what,
        Math.max(1, deadline.left()),
        async () => readOutput(what, stream, call.maxBytes),
        signal,
      ),
    );
    const ended = await transport.request(
      requestOf({ method: 'GET', path: `/exec/${execId}/json`, accept: [200] }),
    );
    return { status: statusOf(ended.text), ...output };
  } finally {
    lifetime.abort(new Error(`${what}: the call is over`));
  }
}

function idOf(what: string, text: string): string {
  const answer = parseJson(text);
  if (typeof answer === 'object' && answer !== null && 'Id' in answer && typeof answer.Id === 'string')
    return answer.Id;
  throw new EngineError(what, 201, 'the engine named no exec id');
}

function statusOf(text: string): number | undefined {
  const answer = parseJson(text);
  if (typeof answer !== 'object' || answer === null || !('ExitCode' in answer)) return undefined;
  return typeof answer.ExitCode === 'number' ? answer.ExitCode : undefined;
}

/** @returns undefined if it is not JSON: that is a fault of the engine, not a defect of this program */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function readOutput(
  what: string,
  stream: AsyncIterable<unknown>,
  maxBytes: number,
): Promise<Pick<ExecuteResult, 'stdout' | 'stderr'>> {
  const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  await copyLog(limited(what, stream, maxBytes), (chunk, name) => chunks[name].push(chunk));
  const textOf = (parts: readonly Buffer[]): string => Buffer.concat(parts).toString('utf8');
  return { stdout: textOf(chunks.stdout), stderr: textOf(chunks.stderr) };
}

/** Cut before it is parsed: a frame's header may announce gigabytes. */
async function* limited(what: string, stream: AsyncIterable<unknown>, maxBytes: number): AsyncGenerator {
  let length = 0;
  for await (const chunk of stream) {
    length += (chunk as Buffer).length;
    if (length > maxBytes) throw new EngineError(what, 200, `it printed more than ${maxBytes} bytes`);
    yield chunk;
  }
}
