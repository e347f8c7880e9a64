/** The part of scripts/advisories/check that compares: see there. */
import { parseArgs } from 'node:util';
import {
  keyOf,
  questionsAbout,
  readAdvisories,
  readBill,
  softwareIn,
  type Advisories,
  type AdvisoryRecord,
  type Component,
} from './osv.ts';
import { isSevere, severityOf, type Severity } from './severity.ts';

/** An older answer says nothing about what was found since. */
const MAX_AGE_DAYS = 7;
/** Clocks of two machines differ. */
const CLOCK_DIFFERENCE_MS = 3_600_000;
const DAY_MS = 86_400_000;
const FOUND = 1;
const BROKEN = 70;
const NO_ANSWER = 75;
const ADVICE =
  'on a machine with a way to the internet, run scripts/advisories/fetch, and copy its .cache/advisories.json here';

interface Finding {
  readonly component: Component;
  readonly record: AdvisoryRecord;
  readonly severity: Severity;
}

class NoAnswerError extends Error {}

const { values } = parseArgs({
  options: {
    sbom: { type: 'string', multiple: true, default: [] },
    advisories: { type: 'string', default: '.cache/advisories.json' },
    accept: { type: 'string', multiple: true, default: [] },
  },
});
try {
  process.exitCode = compare(loadAdvisories(values.advisories));
} catch (error) {
  const isNoAnswer = error instanceof NoAnswerError;
  const message = error instanceof Error ? error.message : String(error);
  console.log(isNoAnswer ? `no answer: ${message}; ${ADVICE}` : `nothing was compared: ${message}`);
  process.exitCode = isNoAnswer ? NO_ANSWER : BROKEN;
}

function compare(advisories: Advisories): number {
  const bills = values.sbom.flatMap(readBill);
  const software = softwareIn(bills);
  const components = [...new Map(software.map((it) => [it.purl ?? it.name, it])).values()];
  const findings = components.flatMap((component) => findingsOf(component, advisories));
  for (const { component, record, severity } of findings)
    console.log(
      `${component.name} ${component.version ?? ''}: ${record.id}, ${severity}: ${record.summary ?? 'no summary'}${reasonFor(record)}`,
    );
  const severe = findings.filter(({ severity, record }) => isSevere(severity) && reasonFor(record) === '');
  const missing = components.filter((component) => !isAnswered(component, advisories));
  const ofBases = bills.filter(({ type }) => type === 'container').flatMap((it) => it.components ?? []);
  if (ofBases.length > 0) console.log(`not compared: ${ofBases.length} packages of the base`);
  console.log(
    `${components.length} components, ${findings.length} known vulnerabilities, ${severe.length} of them stop a release`,
  );
  if (severe.length > 0) return FOUND;
  if (missing.length > 0) {
    const names = missing.map(({ name, version = '' }) => `${name} ${version}`).join(', ');
    throw new NoAnswerError(`nobody was asked about ${names}`);
  }
  return 0;
}

function loadAdvisories(file: string): Advisories {
  const advisories = readOrRefuse(file);
  const age = Date.now() - Date.parse(advisories.fetched);
  if (age > MAX_AGE_DAYS * DAY_MS)
    throw new NoAnswerError(
      `${file} is from ${advisories.fetched}, which is more than ${MAX_AGE_DAYS} days ago`,
    );
  if (age < -CLOCK_DIFFERENCE_MS)
    throw new NoAnswerError(`${file} is from ${advisories.fetched}, which is in the future`);
  return advisories;
}

function readOrRefuse(file: string): Advisories {
  try {
    return readAdvisories(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new NoAnswerError(`${file} cannot be used (${reason})`, { cause: error });
  }
}

function findingsOf(component: Component, { answers, records }: Advisories): readonly Finding[] {
  const found = new Map<string, Finding>();
  for (const question of questionsAbout(component)) {
    const ids = answers.filter((it) => keyOf(it.question) === keyOf(question)).flatMap((it) => it.ids);
    for (const id of ids) {
      const record = records.find((it) => it.id === id);
      if (record === undefined || record.withdrawn !== undefined) continue;
      found.set(id, { component, record, severity: severityOf(record, question.package.ecosystem, records) });
    }
  }
  return [...found.values()];
}

/** Whether all that can be asked about it was asked, and each record that an answer names is there. */
function isAnswered(component: Component, { answers, records }: Advisories): boolean {
  const questions = questionsAbout(component);
  const isComplete = (ids: readonly string[]): boolean =>
    ids.every((id) => records.some((it) => it.id === id));
  return (
    questions.length > 0 &&
    questions.every((question) =>
      answers.some((it) => keyOf(it.question) === keyOf(question) && isComplete(it.ids)),
    )
  );
}

/** Why a person accepts it, in brackets; empty if nobody does. */
function reasonFor({ id }: AdvisoryRecord): string {
  const accepted = values.accept.find((it) => it.startsWith(`${id}=`) && it.length > id.length + 1);
  return accepted === undefined ? '' : ` (accepted: ${accepted.slice(id.length + 1)})`;
}
