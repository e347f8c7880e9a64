import { messageOf } from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Log } from '../support/log.ts';
import type { ContainerExit } from './engine.ts';
import type { EngineFeatures } from './features.ts';
import { readBody, type EngineRequest, type Transport } from './transport.ts';

export interface AwaitOptions {
  readonly features: Pick<EngineFeatures, 'waitConditions'>;
  /** INSPECT and FOLLOW_TOTAL count here. */
  readonly limits: Limits;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Waits for a container's exit, as `Engine.awaitExit` says. */
export async function awaitExitOver(
  transport: Transport,
  id: string,
  { features, limits, log, signal }: AwaitOptions,
): Promise<{ readonly exit: Promise<ContainerExit> }> {
  const request: EngineRequest = {
    what: `wait for container ${id}`,
    method: 'POST',
    path: `/containers/${id}/wait`,
    query: features.waitConditions ? { condition: 'next-exit' } : {},
    accept: [200],
    // Below 1.30 the headers arrive only when the container exits.
    deadlineMs: features.waitConditions ? limits.INSPECT : limits.FOLLOW_TOTAL,
    signal,
  };
  if (!features.waitConditions) return { exit: readExit(transport.openStream(request), log) };
  const stream = await transport.openStream(request);
  return { exit: readExit(Promise.resolve(stream), log) };
}

async function readExit(opening: ReturnType<Transport['openStream']>, log: Log): Promise<ContainerExit> {
  try {
    const answer: unknown = JSON.parse(await readBody(await opening));
    if (typeof answer === 'object' && answer !== null && 'StatusCode' in answer) {
      return { status: Number(answer.StatusCode) };
    }
    return 'gone';
  } catch (error) {
    // The container was removed while we waited, or the connection was lost: the caller inspects again.
    log.debug('cannot wait for a container any longer', { error: messageOf(error) });
    return 'gone';
  }
}
