/** How bad a vulnerability is, by what its OSV record says. */
import { createRequire } from 'node:module';
import type { AdvisoryRecord } from './osv.ts';

/** What is used of the calculator. It is CommonJS whose names an import does not see. */
interface Calculator {
  /** @returns null for what is no vector of any version of CVSS */
  readonly fromVector: (text: string) => { calculateScores(): { readonly overall?: number } } | null;
}
const { fromVector } = createRequire(import.meta.url)('ae-cvss-calculator') as Calculator;

/** `unknown`: nothing in the record says how bad it is. */
export type Severity = 'critical' | 'high' | 'moderate' | 'low' | 'unknown';

const ORDER: readonly Severity[] = ['low', 'moderate', 'high', 'critical'];
const WORDS: Readonly<Record<string, Severity>> = {
  critical: 'critical',
  high: 'high',
  moderate: 'moderate',
  medium: 'moderate',
  low: 'low',
  negligible: 'low',
};

/**
 * The worst that the record says: by CVSS (from 4 moderate, from 7 high, from 9 critical), or by a word. What Debian calls "unimportant" for
 * its own packages is low, whatever the score: Debian's reason is that it is no vulnerability there.
 *
 * @param ecosystem of the question that found it
 * @param records where other records of the same vulnerability are looked for, if this one says nothing
 */
export function severityOf(
  record: AdvisoryRecord,
  ecosystem: string,
  records: readonly AdvisoryRecord[] = [],
): Severity {
  const own = ownSeverity(record, ecosystem);
  if (own !== 'unknown') return own;
  const related = records.filter(({ id }) => relatedIds(record).includes(id));
  const found = related.map((it) => ownSeverity(it, ecosystem));
  return ORDER.findLast((severity) => found.includes(severity)) ?? 'unknown';
}

/** Other records of the same vulnerability. */
export function relatedIds({ upstream = [], aliases = [] }: AdvisoryRecord): readonly string[] {
  return [...upstream, ...aliases];
}

function ownSeverity(record: AdvisoryRecord, ecosystem: string): Severity {
  const affected = (record.affected ?? []).filter((it) => it.package?.ecosystem === ecosystem);
  const urgencies = affected.map((it) => it.ecosystem_specific?.urgency);
  if (urgencies.length > 0 && urgencies.every((urgency) => urgency === 'unimportant')) return 'low';
  const scores = [...(record.severity ?? []), ...(record.affected ?? []).flatMap((it) => it.severity ?? [])];
  const found = [
    ...scores.map(({ score }) => ofScore(score)),
    ofWord(record.database_specific?.severity),
    ...urgencies.map(ofWord),
  ];
  return ORDER.findLast((severity) => found.includes(severity)) ?? 'unknown';
}

/** Whether it stops a release. Not to know is no excuse. */
export function isSevere(severity: Severity): boolean {
  return severity === 'critical' || severity === 'high' || severity === 'unknown';
}

function ofScore(text: string): Severity {
  const base = fromVector(text)?.calculateScores().overall;
  if (base === undefined || Number.isNaN(base)) return ofWord(text);
  if (base >= 9) return 'critical';
  if (base >= 7) return 'high';
  return base >= 4 ? 'moderate' : 'low';
}

function ofWord(word: unknown): Severity {
  return typeof word === 'string' ? (WORDS[word.toLowerCase()] ?? 'unknown') : 'unknown';
}
