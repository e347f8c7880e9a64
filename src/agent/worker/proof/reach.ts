import * as v from 'valibot';
import type { ExecuteResult } from '../../../engine/engine.ts';
import { checkCredentials } from '../../../control-plane/credentials.ts';
import { messageOf } from '../../../support/errors.ts';
import type { Limits } from '../../../support/limits/limits.ts';
import type { Observed } from '../../transaction/observe.ts';
import { isManaged } from '../../identity/managed.ts';
import { readinessResultSchema, type ReadinessResult } from '../../run/readiness/result.ts';
import { openConnection, readAgentSettings } from '../../../control-plane/open-connection.ts';
import type { Work } from '../session.ts';
import { notMeasured, type Reach } from './judge.ts';

/**
 * Measures what an agent reaches now, in its own container (readiness §2): a hardened one that knows `ready` by that
 * command; any other by its image's curl, without keys. If it cannot be measured, the result is unknown, and an image never
 * fails because of that.
 *
 * @param server origin of the server that the next agent asks; for another one the answers are not compared
 */
export async function measureReach(work: Work, agent: Observed | undefined, server: string): Promise<Reach> {
  if (agent?.state !== 'running' || originOf(agent) !== server) return notMeasured;
  try {
    return agent.checksReadiness === true ? await askReady(work, agent) : await measureLegacy(work, agent);
  } catch (error) {
    work.signal.throwIfAborted();
    work.log.warn(`could not measure what ${agent.name} reaches`, { error: messageOf(error) });
    return notMeasured;
  }
}

/** Origin of an agent's server; empty where its environment names none. */
export function originOf({ environment }: Pick<Observed, 'environment'>): string {
  return URL.parse(environment['CATTLE_URL'] ?? '')?.origin ?? '';
}

async function askReady(work: Work, agent: Observed): Promise<Reach> {
  const answer = await execute(work, agent.id, ['/run.sh', 'ready', '--json']);
  const result = readReadyAnswer(answer.stdout);
  return result === undefined ? notMeasured : reachOf(result);
}

/** What the output of `run.sh ready --json` shows about the way to the server and about the keys. */
export function reachOf({ ready, failure }: Pick<ReadinessResult, 'ready' | 'failure'>): Reach {
  if (ready) return { server: 'answers', keys: 'accepted' };
  if (failure?.check === 'keys') return { server: 'answers', keys: 'refused' };
  // A script that is cut off is no live answer; an earlier version calls that a fault of its image.
  if (failure?.check === 'script') {
    const answers = failure.fault === 'image' && failure.cause !== 'ready-script-not-whole';
    return { server: answers ? 'answers' : 'silent', keys: 'accepted' };
  }
  if (failure?.check === 'server' || failure?.check === 'curl')
    return { server: 'silent', keys: 'not-measured' };
  return notMeasured;
}

/** The last line of a command's output that is a readiness result: warnings may stand before it. */
export function readReadyAnswer(stdout: string): ReadinessResult | undefined {
  for (const line of stdout.trimEnd().split('\n').reverse()) {
    if (!line.startsWith('{')) continue;
    const parsed = v.safeParse(readinessResultSchema, parseJson(line));
    if (parsed.success) return parsed.output;
  }
  return undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * `agent.conf` first, as the legacy entrypoint reads it. The bootstrap script needs no keys (control-plane §1.1), so none are
 * in the argument list. A live answer has the status 200 and is one whole script that the bash of that image can read.
 * Two requests, because keys are asked for by a third one: so a load balancer that takes turns does not show its good side only.
 */
function curlScript({ READY_REQUEST }: Limits): string {
  const seconds = Math.max(1, Math.ceil(READY_REQUEST / 1_000));
  return `[ ! -r /var/lib/rancher/etc/agent.conf ] || . /var/lib/rancher/etc/agent.conf
for request in 1 2; do
answer=$(curl -s --max-time ${seconds} -w "\n%{http_code}" "$CATTLE_URL/scripts/bootstrap") || exit $?
case "$answer" in
"#!/bin/bash
"*"

200") printf %s "\${answer%???}" | bash -n 2>/dev/null && echo whole || echo "not whole" ;;
*) echo "not whole" ;;
esac
done`;
}

async function measureLegacy(work: Work, agent: Observed): Promise<Reach> {
  const isAsked = await hasJustBeenAnswered(work);
  const { status, stdout } = isAsked
    ? { status: 0, stdout: 'whole' }
    : await execute(work, agent.id, ['sh', '-c', curlScript(work.configuration.limits)]);
  // 126 and 127: there is no sh or no curl, so nothing was measured.
  if (status === undefined || status === 126 || status === 127) return notMeasured;
  const answers = new Set(status === 0 ? stdout.trim().split('\n') : []);
  if (!answers.has('whole')) return { server: 'silent', keys: 'not-measured' };
  return { server: answers.size === 1 ? 'answers' : 'differs', keys: await measureKeys(work, agent) };
}

/** Whether the server has just answered a legacy agent: the agent fetched the script that created the upgrade container. */
async function hasJustBeenAnswered({ engine, names, clock, configuration }: Work): Promise<boolean> {
  for (const name of names.upgrades) {
    const found = await engine.inspectContainer(name);
    if (found?.createdAt === undefined || !isManaged(found)) continue;
    if (Math.abs(clock.now() - found.createdAt) < configuration.limits.ANSWER_FRESH) return true;
  }
  return false;
}

/** By our own client, with the values that `inspect` shows: never in an argument list. */
async function measureKeys(work: Work, agent: Observed): Promise<Reach['keys']> {
  const settings = readAgentSettings(agent.environment);
  work.secrets.add(settings.keys.secretKey);
  const { client } = await openConnection(work, settings.cattleUrl, { tools: false, readOnly: true });
  const { state } = await checkCredentials(client, settings);
  if (state === 'unknown') return 'not-measured';
  return state === 'live' ? 'accepted' : 'refused';
}

async function execute(
  { engine, configuration, signal }: Work,
  id: string,
  command: readonly [string, ...string[]],
): Promise<ExecuteResult> {
  const { READY_EXEC, READY_BYTES } = configuration.limits;
  return engine.execute(id, { command, deadlineMs: READY_EXEC, maxBytes: READY_BYTES, signal });
}
