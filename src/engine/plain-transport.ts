import { withDeadline } from '../support/deadline.ts';
import { PlainConnection } from './plain-connection.ts';
import {
  check,
  createTransport,
  guard,
  type EngineAnswer,
  type EngineRequest,
  type Transport,
} from './transport.ts';

/**
 * A way to the engine for thousands of small questions, over connections that are used again: a clean-up shares two cores with the
 * engine that does the work, and dockerode's modem over Node's client takes three times the CPU (docs/development/footprint.md).
 * What has a body, and what is answered piece by piece, goes the ordinary way.
 *
 * A question may fail because the engine was restarted since the last one: for somebody who bears that.
 */
export function createPlainTransport(
  socketPath: string,
  apiVersion: string | undefined,
  userAgent: string,
): Transport {
  const ordinary = createTransport(socketPath, apiVersion, userAgent);
  const idle: PlainConnection[] = [];
  const prefix = apiVersion === undefined ? '' : `/v${apiVersion}`;

  const take = (): PlainConnection => {
    for (let kept = idle.pop(); kept !== undefined; kept = idle.pop()) if (kept.isOpen) return kept;
    return new PlainConnection(socketPath, userAgent);
  };

  const ask = async (method: 'GET' | 'DELETE', path: string, signal: AbortSignal): Promise<EngineAnswer> => {
    const connection = take();
    const giveUp = (): void => {
      connection.destroy();
    };
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      return await connection.ask(method, path);
    } finally {
      signal.removeEventListener('abort', giveUp);
      if (connection.isOpen) idle.push(connection);
    }
  };

  return {
    ...ordinary,
    async request(request: EngineRequest) {
      const { what, deadlineMs, method } = request;
      if (method === 'POST' || request.body !== undefined || request.auth !== undefined)
        return ordinary.request(request);
      const path = `${prefix}${request.path}${queryOf(request)}`;
      const { status, text } = await guard(request, async () =>
        withDeadline(what, deadlineMs, async (signal) => ask(method, path, signal), request.signal),
      );
      return check(request, status, text);
    },
  };
}

function queryOf({ query = {} }: EngineRequest): string {
  const text = new URLSearchParams(query).toString();
  return text === '' ? '' : `?${text}`;
}
