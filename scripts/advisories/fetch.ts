/** The part of scripts/advisories/fetch that asks: see there. The calls are those of https://google.github.io/osv.dev/api/. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import {
  keyOf,
  knownToBeVulnerable,
  questionsAbout,
  readBill,
  record,
  softwareIn,
  type Advisories,
  type AdvisoryRecord,
  type Question,
} from './osv.ts';
import { relatedIds, severityOf } from './severity.ts';

/** The database takes 1,000. */
const QUESTIONS_AT_ONCE = 500;
/** Of answers that come in parts. */
const MAX_PAGES = 50;
const RECORDS_AT_ONCE = 4;
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
/** For one call. */
const CALL_DEADLINE_MS = 60_000;
const NO_ANSWER = 75;

type Answer = Advisories['answers'][number];
interface Asked {
  readonly question: Question;
  readonly page?: string | undefined;
}

class NotThereError extends Error {}

const results = v.object({
  results: v.array(
    v.nullable(
      v.object({
        vulns: v.optional(v.array(v.object({ id: v.string() }))),
        next_page_token: v.optional(v.string()),
      }),
    ),
  ),
});

const { values } = parseArgs({
  options: {
    sbom: { type: 'string', multiple: true, default: [] },
    into: { type: 'string', default: '.cache/advisories.json' },
    from: { type: 'string', default: 'https://api.osv.dev' },
  },
});
try {
  const advisories = await fetchAdvisories();
  mkdirSync(dirname(values.into), { recursive: true });
  writeFileSync(`${values.into}.new`, `${JSON.stringify(advisories, undefined, 1)}\n`);
  renameSync(`${values.into}.new`, values.into);
  console.log(
    `${values.into}: ${advisories.answers.length} answers, ${advisories.records.length} records, from ${values.from}`,
  );
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  console.error(
    `no answer from ${values.from} (${reason}${cause}); ${values.into} is as it was; try again later`,
  );
  process.exitCode = NO_ANSWER;
}

async function fetchAdvisories(): Promise<Advisories> {
  const fetched = new Date().toISOString();
  const software = softwareIn(values.sbom.flatMap(readBill));
  const questions = [...new Map(software.flatMap(questionsAbout).map((it) => [keyOf(it), it])).values()];
  await refuseIfDeaf();
  const answers = await askAll(questions);
  const records = await fetchRecords([...new Set(answers.flatMap(({ ids }) => ids))].sort(), fetchRecord);
  return { source: values.from, fetched, answers, records: [...records, ...(await fetchRelated(records))] };
}

/** Silence about what is known to be vulnerable: the questions are not the database's, and silence would mean nothing. */
async function refuseIfDeaf(): Promise<void> {
  for (const { question, ids } of await askAll(knownToBeVulnerable)) {
    const { ecosystem, name } = question.package;
    if (ids.length === 0)
      throw new Error(
        `it knows no vulnerability of ${name} ${question.version} (${ecosystem}), which has some`,
      );
  }
}

/** Records that say how bad those are that do not say it themselves. The database has not every record that one names. */
async function fetchRelated(records: readonly AdvisoryRecord[]): Promise<readonly AdvisoryRecord[]> {
  const unclear = records.filter((it) =>
    (it.affected ?? [{}]).every(({ package: of }) => severityOf(it, of?.ecosystem ?? '') === 'unknown'),
  );
  const present = new Set(records.map(({ id }) => id));
  const wanted = [...new Set(unclear.flatMap(relatedIds))].filter((id) => !present.has(id)).sort();
  const found = await fetchRecords(wanted, fetchRecordIfThere);
  return found.filter((it) => it !== undefined);
}

async function askAll(questions: readonly Question[]): Promise<Answer[]> {
  const found = new Map(questions.map((question) => [keyOf(question), { question, ids: [] as string[] }]));
  let open: readonly Asked[] = questions.map((question) => ({ question }));
  for (let page = 0; open.length > 0; page += 1) {
    if (page === MAX_PAGES) throw new Error(`an answer has more than ${MAX_PAGES} parts`);
    const next: Asked[] = [];
    for (let start = 0; start < open.length; start += QUESTIONS_AT_ONCE)
      next.push(...(await askSome(open.slice(start, start + QUESTIONS_AT_ONCE), found)));
    open = next;
  }
  return [...found.values()];
}

/** Adds what was found. @returns those questions whose answer goes on */
async function askSome(
  asked: readonly Asked[],
  found: ReadonlyMap<string, Answer>,
): Promise<readonly Asked[]> {
  const queries = asked.map(({ question, page }) => ({
    ...question,
    ...(page === undefined ? {} : { page_token: page }),
  }));
  const answer = v.parse(results, await call('/v1/querybatch', JSON.stringify({ queries }))).results;
  if (answer.length !== asked.length)
    throw new Error(`${asked.length} questions got ${answer.length} answers`);
  return asked.flatMap(({ question }, index) => {
    const ids = answer[index]?.vulns?.map(({ id }) => id) ?? [];
    found.get(keyOf(question))?.ids.push(...ids);
    const page = answer[index]?.next_page_token;
    return page === undefined || page === '' ? [] : [{ question, page }];
  });
}

async function fetchRecords<T>(ids: readonly string[], fetchOne: (id: string) => Promise<T>): Promise<T[]> {
  const records: T[] = [];
  for (let start = 0; start < ids.length; start += RECORDS_AT_ONCE) {
    const some = ids.slice(start, start + RECORDS_AT_ONCE);
    records.push(...(await Promise.all(some.map(fetchOne))));
  }
  return records;
}

async function fetchRecord(id: string): Promise<AdvisoryRecord> {
  const found = v.parse(record, await call(`/v1/vulns/${encodeURIComponent(id)}`));
  if (found.id !== id) throw new Error(`the record of ${id} is one of ${found.id}`);
  return found;
}

async function fetchRecordIfThere(id: string): Promise<AdvisoryRecord | undefined> {
  try {
    return await fetchRecord(id);
  } catch (error) {
    if (error instanceof NotThereError) return undefined;
    throw error;
  }
}

async function call(path: string, body?: string): Promise<unknown> {
  const response = await fetch(new URL(path, values.from), {
    ...(body === undefined ? {} : { method: 'POST', body, headers: { 'content-type': 'application/json' } }),
    redirect: 'error',
    signal: AbortSignal.timeout(CALL_DEADLINE_MS),
  });
  if (response.status === 404) throw new NotThereError(`${path}: HTTP 404`);
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return JSON.parse(await readText(response, path));
}

/** At most so much, whatever the length says that the answer claims. */
async function readText(response: Response, path: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += (part as Uint8Array).length;
    if (size > MAX_ANSWER_BYTES)
      throw new Error(`${path}: the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
    parts.push(part as Uint8Array);
  }
  return Buffer.concat(parts).toString('utf8');
}
