import { chooseProxy, describeProxy, silentProxyHint } from '../../../control-plane/http/proxy.ts';
import type { Environment } from '../../../support/configuration.ts';
import { deadlineIn } from '../../../support/deadline.ts';
import type { Observed } from '../../transaction/observe.ts';
import type { ReadinessCheck, ReadinessFailure, ReadinessResult } from '../../run/readiness/result.ts';
import type { Work } from '../session.ts';
import type { Answers, Reach } from './judge.ts';
import { measureReach } from './reach.ts';

/*
 * One answer proves little: behind a load balancer, one of two servers may be broken. So more than one answer of each side is
 * compared before an image is refused.
 */

/** What the results of a next agent have in common, in one wait. */
export class Results {
  readonly #passed = new Set<ReadinessCheck>();
  readonly #failed = new Set<number>();

  add({ ready, passed, checkedAt }: ReadinessResult): void {
    for (const check of passed) this.#passed.add(check);
    if (!ready) this.#failed.add(checkedAt);
  }

  /** Whether the check that fails now has failed each time, and more than once. */
  compare(check: ReadinessCheck): Answers {
    if (this.#passed.has(check)) return 'differ';
    return this.#failed.size > 1 ? 'alike' : 'too-few';
  }
}

/**
 * Measures more than once what the old agent reaches, until the answer to the question is certain, for READY at most.
 * @param about what the decision depends on
 */
export async function compareReach(
  work: Work,
  agent: Observed | undefined,
  server: string,
  about: 'server' | 'keys',
): Promise<Reach> {
  const { limits } = work.configuration;
  const deadline = deadlineIn(limits.READY, work.clock);
  let whole = await measureReach(work, agent, server);
  for (let tries = 1; tries < limits.REACH_TRIES && deadline.left() > 0; tries += 1) {
    const { server: way, keys } = whole;
    if (way === 'not-measured' && keys === 'not-measured') break;
    // Without a live answer nothing counts against the image; one more request is no use to a server in trouble.
    if (about === 'server' && way !== 'answers') break;
    if (about === 'keys' && keys === 'differs') break;
    const again = await measureReach(work, agent, server);
    whole = { server: join(way, again.server), keys: join(keys, again.keys) };
  }
  return whole;
}

function join<T extends string>(a: T | 'differs', b: T | 'differs'): T | 'differs' {
  if (b === 'not-measured' || a === b) return a;
  return a === 'not-measured' ? b : 'differs';
}

/**
 * A fault that would be the server's is the way's where only the next agent goes through a proxy: a proxy that takes the request
 * and does not pass it on looks like a server that does not answer.
 */
export function withOwnProxy(
  failure: ReadinessFailure,
  next: Pick<Observed, 'environment'>,
  agent: Pick<Observed, 'environment'> | undefined,
): ReadinessFailure {
  if (failure.fault !== 'server' || agent === undefined) return failure;
  const proxy = proxyOf(next.environment);
  if (proxy === undefined || proxy === proxyOf(agent.environment)) return failure;
  const message = `${failure.message}; the old agent does not use the proxy ${proxy}`;
  return { ...failure, fault: 'way', message, hint: silentProxyHint(proxy) };
}

/** Address of the proxy on the way to an agent's server, without its password. */
function proxyOf(environment: Environment): string | undefined {
  const url = URL.parse(environment['CATTLE_URL'] ?? '');
  try {
    const proxy = url === null ? undefined : chooseProxy(url, environment);
    return proxy === undefined ? undefined : describeProxy(proxy);
  } catch {
    return undefined;
  }
}
