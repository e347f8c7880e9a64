/**
 * Questions to OSV (a database of known vulnerabilities) about the components of a bill of materials, and the file that its
 * answers are kept in. https://google.github.io/osv.dev/ says what the database takes, https://ossf.github.io/osv-schema/
 * what a record is.
 */
import { readFileSync, statSync } from 'node:fs';
import * as v from 'valibot';

/** One question: a version of a package, in the terms of the database. */
export interface Question {
  readonly version: string;
  readonly package: { readonly ecosystem: string; readonly name: string };
}

/** A component of a bill of materials, as far as it is read here. */
export interface Component {
  readonly type: string;
  readonly name: string;
  readonly version?: string | undefined;
  readonly purl?: string | undefined;
  readonly components?: readonly Component[] | undefined;
}

/** Larger files than these are no bill of ours, and no advisories. */
const MAX_BILL_BYTES = 32 * 1024 * 1024;
const MAX_ADVISORIES_BYTES = 256 * 1024 * 1024;

const component: v.GenericSchema<Component> = v.object({
  type: v.string(),
  name: v.string(),
  version: v.optional(v.string()),
  purl: v.optional(v.string()),
  components: v.optional(v.array(v.lazy(() => component))),
});
const bill = v.object({ bomFormat: v.literal('CycloneDX'), components: v.array(component) });

const score = v.object({ type: v.string(), score: v.string() });
/** What is read of an OSV record; whatever else it has is kept. */
export const record = v.looseObject({
  id: v.string(),
  summary: v.optional(v.string()),
  withdrawn: v.optional(v.string()),
  /** Other records of the same vulnerability: of those it was made from, and by other databases. */
  upstream: v.optional(v.array(v.string())),
  aliases: v.optional(v.array(v.string())),
  severity: v.optional(v.array(score)),
  database_specific: v.optional(v.looseObject({ severity: v.optional(v.unknown()) })),
  affected: v.optional(
    v.array(
      v.looseObject({
        package: v.optional(v.looseObject({ ecosystem: v.string(), name: v.string() })),
        severity: v.optional(v.array(score)),
        ecosystem_specific: v.optional(v.looseObject({ urgency: v.optional(v.unknown()) })),
      }),
    ),
  ),
});
export type AdvisoryRecord = v.InferOutput<typeof record>;

const question = v.object({
  version: v.string(),
  package: v.object({ ecosystem: v.string(), name: v.string() }),
});
const advisories = v.object({
  /** Where the answers are from. */
  source: v.string(),
  /** When the first question was asked: ISO 8601. */
  fetched: v.pipe(v.string(), v.isoTimestamp()),
  answers: v.array(v.object({ question, ids: v.array(v.string()) })),
  records: v.array(record),
});
export type Advisories = v.InferOutput<typeof advisories>;

export function readBill(file: string): readonly Component[] {
  return v.parse(bill, readJson(file, MAX_BILL_BYTES)).components;
}

/** @throws with the system's own error, or with what is wrong with the file */
export function readAdvisories(file: string): Advisories {
  return v.parse(advisories, readJson(file, MAX_ADVISORIES_BYTES));
}

function readJson(file: string, most: number): unknown {
  const { size } = statSync(file);
  if (size > most) throw new Error(`${file} has ${size} bytes, more than ${most}`);
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** The same question has the same key. */
export function keyOf({ version, package: { ecosystem, name } }: Question): string {
  return JSON.stringify([ecosystem, name, version]);
}

/** Components that are software of somebody: all but files, and the base image, which is not built here. */
export function softwareIn(components: readonly Component[]): readonly Component[] {
  return components.flatMap((it) => {
    if (it.type === 'file' || it.type === 'container') return [];
    return [it, ...softwareIn(it.components ?? [])];
  });
}

/** What to ask about a component: nothing if the database has no name for it. */
export function questionsAbout({ purl = '' }: Component): readonly Question[] {
  const [, type, path = '', version = '', query = ''] =
    /^pkg:(npm|github|deb)\/([^@?]+)@([^?]+)(?:\?(.*))?$/.exec(purl) ?? [];
  const name = decodeURIComponent(path);
  const found = decodeURIComponent(version);
  if (type === 'npm') return [ask('npm', name, found), ...questionsAboutNode(name, found)];
  if (type === 'github') return [ask('GIT', `https://github.com/${name}`, found)];
  if (type === 'deb') return questionsAboutDebian(found, new URLSearchParams(query.replaceAll('+', '%2B')));
  return [];
}

/** The package of npm has advisories of its own at most; Node's are in the records of its repository, and Bitnami's. */
function questionsAboutNode(name: string, version: string): readonly Question[] {
  if (!/^node-linux-(x64|arm64)$/.test(name)) return [];
  return [ask('GIT', 'https://github.com/nodejs/node', `v${version}`), ask('Bitnami', 'node', version)];
}

/** Debian's advisories name source packages. */
function questionsAboutDebian(version: string, qualifiers: URLSearchParams): readonly Question[] {
  const [, release] = /^debian-(\d+)$/.exec(qualifiers.get('distro') ?? '') ?? [];
  const [source = '', sourceVersion = version] = (qualifiers.get('upstream') ?? '').split('@');
  return release === undefined || source === '' ? [] : [ask(`Debian:${release}`, source, sourceVersion)];
}

/**
 * Old versions that have known vulnerabilities, one for each way of asking. A database that finds nothing there does not
 * understand the question, and what it says about other versions is no answer.
 */
export const knownToBeVulnerable: readonly Question[] = [
  ask('npm', 'lodash', '4.17.15'),
  ask('GIT', 'https://github.com/nodejs/node', 'v18.0.0'),
  ask('GIT', 'https://github.com/openssl/openssl', 'openssl-3.0.0'),
  ask('Bitnami', 'node', '18.0.0'),
  ask('Debian:12', 'glibc', '2.36-9'),
];

function ask(ecosystem: string, name: string, version: string): Question {
  return { version, package: { ecosystem, name } };
}
