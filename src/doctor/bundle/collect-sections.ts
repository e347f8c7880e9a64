import { join } from 'node:path';
import { parseAgentConf } from '../../control-plane/agent-conf.ts';
import type { ContainerDetails, Engine } from '../../engine/engine.ts';
import { readOwnFile } from '../../host/files/safe-folder.ts';
import { readRegistrationKey } from '../../host/identity.ts';
import type { Clock } from '../../support/clock.ts';
import type { Configuration, Environment, Paths } from '../../support/configuration.ts';
import { deadlineIn } from '../../support/deadline.ts';
import { addEnvironmentSecrets, isSecretKey, type Secrets } from '../../support/secrets.ts';
import { findRancherFolder } from '../probe-host.ts';
import { probe, type ProbeLimits } from '../probe.ts';
import type { AgentSnapshot, HostSnapshot, Seen } from '../snapshot.ts';
import { describeEngine } from './engine-facts.ts';
import type { Section } from './render.ts';

export interface BundleCollection {
  readonly configuration: Configuration;
  readonly clock: Clock;
  /** Gets every secret that is read here: the agent keys, the host key, the values in agent.conf. */
  readonly secrets: Secrets;
  readonly signal: AbortSignal;
  /** Connects with one try per call. */
  readonly connect: () => Promise<Engine>;
}

/** What this program keeps on the host and a person may need; never the host key. */
const hostFiles: readonly (readonly [name: string, keep: Section['keep']])[] = [
  ['state', 'begin'],
  ['status.json', 'begin'],
  ['serving.json', 'begin'],
  ['attempts.json', 'begin'],
  ['server.json', 'begin'],
  ['machine.json', 'begin'],
  ['reported.json', 'begin'],
  ['worker.log', 'end'],
  ['worker.log.1', 'end'],
];

/**
 * Collects what the doctor's snapshot does not have: facts of the engine, the managed containers and their logs, the files on the
 * host. It only reads, within BUNDLE_TOTAL. What cannot be read is a section that says why.
 */
export async function collectSections(
  collection: BundleCollection,
  snapshot: HostSnapshot,
): Promise<readonly Section[]> {
  const { configuration, clock, signal } = collection;
  const { limits } = configuration;
  const allowed = { each: limits.BUNDLE_LOG, total: deadlineIn(limits.BUNDLE_TOTAL, clock), signal };
  const [files, containers] = await Promise.all([
    collectFiles(collection, allowed),
    collectContainers(collection, snapshot, allowed),
  ]);
  const engine: Section = { title: 'engine', content: describeEngine(snapshot), keep: 'begin' };
  return [engine, ...containers, ...files];
}

async function collectContainers(
  { connect, secrets, configuration }: BundleCollection,
  { agents }: HostSnapshot,
  allowed: ProbeLimits,
): Promise<readonly Section[]> {
  if (!agents.known) return [noted('containers', agents.why)];
  const managed = agents.value.filter((agent) => agent.managed);
  if (managed.length === 0) return [noted('containers', 'no managed container')];
  const connected = await probe('connect to the engine', allowed, connect);
  if (!connected.known) return [noted('containers', connected.why)];
  const engine = connected.value;
  const found = await Promise.all(
    managed.map(async (agent) => collectContainer({ engine, secrets }, agent, allowed)),
  );
  return found.flat().map((section) => withoutPartialLine(section, configuration.limits.LOG_TAIL_READ));
}

async function collectContainer(
  { engine, secrets }: { readonly engine: Engine; readonly secrets: Secrets },
  { id, name, role, hangs }: AgentSnapshot,
  allowed: ProbeLimits,
): Promise<readonly Section[]> {
  const title = `container ${name} (${role})`;
  if (hangs) return [noted(title, 'the engine does not answer about this container')];
  const details = await probe(`inspect ${name}`, allowed, async () => engine.inspectContainer(id));
  if (details.known && details.value !== undefined) addEnvironmentSecrets(secrets, details.value.environment);
  const log = await probe(`read the log of ${name}`, allowed, async () => engine.readLogTail(id));
  return [
    { title, content: describeContainer(details), keep: 'begin' },
    { title: `last lines of the log of ${name}`, content: log.known ? log.value : log.why, keep: 'end' },
  ];
}

/** A log that was longer than what is read may end within a word, and half a secret is not recognised. */
function withoutPartialLine(section: Section, most: number): Section {
  const { content } = section;
  if (typeof content !== 'string' || content.endsWith('\n')) return section;
  if (Buffer.byteLength(content) < most / 2) return section;
  return { ...section, content: content.slice(0, content.lastIndexOf('\n') + 1) };
}

function describeContainer(details: Seen<ContainerDetails | undefined>): unknown {
  if (!details.known) return details.why;
  if (details.value === undefined) return 'the engine lists this container and cannot inspect it';
  const { environment, ...rest } = details.value;
  return { ...rest, environment: withoutSecrets(environment) };
}

/** Short values, which are masked nowhere else, are masked here by their names. */
function withoutSecrets(environment: Environment): Environment {
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, isSecretKey(name) ? '***' : value]),
  );
}

async function collectFiles(
  { configuration, secrets }: BundleCollection,
  allowed: ProbeLimits,
): Promise<readonly Section[]> {
  const found = await probe('find /var/lib/rancher', allowed, async () =>
    findRancherFolder(configuration.paths),
  );
  if (!found.known || found.value === undefined)
    return [noted('files of /var/lib/rancher', found.known ? 'they cannot be seen from here' : found.why)];
  const folder = found.value;
  await addHostKey(folder, secrets, allowed);
  const texts = hostFiles.map(async ([name, keep]): Promise<Section> => {
    const title = `/var/lib/rancher/entrypoint/${name}`;
    return { title, content: await readText(join(folder.entrypoint, name), allowed), keep };
  });
  return [await collectAgentConf(folder, secrets, allowed), ...(await Promise.all(texts))];
}

async function addHostKey(folder: Paths, secrets: Secrets, allowed: ProbeLimits): Promise<void> {
  const key = await probe('read the host key', allowed, async () => readRegistrationKey(folder));
  if (key.known) secrets.add(key.value);
}

/** Only what the program reads of it: a comment may hold anything. */
async function collectAgentConf(folder: Paths, secrets: Secrets, allowed: ProbeLimits): Promise<Section> {
  const title = '/var/lib/rancher/etc/agent.conf';
  const text = await probe('read agent.conf', allowed, async () =>
    readOwnFile(join(folder.rancher, 'etc/agent.conf'), { deadlineMs: allowed.each }),
  );
  if (!text.known) return noted(title, text.why);
  if (text.value === undefined) return noted(title, 'no such file');
  const { variables, problems } = parseAgentConf(text.value);
  addEnvironmentSecrets(secrets, variables);
  const lines = Object.entries(withoutSecrets(variables)).map(([name, value]) => `${name}=${value}`);
  return { title, content: [...lines, ...problems].join('\n'), keep: 'begin' };
}

async function readText(path: string, allowed: ProbeLimits): Promise<string> {
  const text = await probe(`read ${path}`, allowed, async () =>
    readOwnFile(path, { deadlineMs: allowed.each }),
  );
  return text.known ? (text.value ?? 'no such file') : text.why;
}

function noted(title: string, text: string): Section {
  return { title, content: `(${text})`, keep: 'begin' };
}
