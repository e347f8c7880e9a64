import { join } from 'node:path';
import * as v from 'valibot';
import { describeMismatch, parseJsonText } from '../../../host/files/json.ts';
import { readOwnFile } from '../../../host/files/safe-folder.ts';
import type { Clock } from '../../../support/clock.ts';
import type { Paths } from '../../../support/configuration.ts';
import { messageOf } from '../../../support/errors.ts';
import type { Limits } from '../../../support/limits/limits.ts';
import { servingRecordSchema, type ServingRecord } from '../../../host/files/serving-record.ts';

/** What the host's record of serving says, and whether anybody still keeps it. */
export type ServingReading =
  | { readonly kind: 'fresh'; readonly record: ServingRecord }
  /** Nobody has written it for SERVING_STALE, or it is from before the host's last start: nothing is known. */
  | { readonly kind: 'stale'; readonly record: ServingRecord }
  | { readonly kind: 'missing' }
  | { readonly kind: 'damaged'; readonly reason: string };

/** The record on the host. It has no secrets and everybody may read it. */
export function servingFileOf(paths: Paths): string {
  return join(paths.entrypoint, 'serving.json');
}

/** Reads the record on the host. Never throws. */
export async function readServing(paths: Paths, clock: Clock, limits: Limits): Promise<ServingReading> {
  let text: string | undefined;
  try {
    text = await readOwnFile(servingFileOf(paths), {
      maxBytes: limits.SERVING_FILE,
      deadlineMs: limits.STATUS_FILE,
    });
  } catch (error) {
    return { kind: 'damaged', reason: messageOf(error) };
  }
  return text === undefined ? { kind: 'missing' } : judgeRecord(text, clock.elapsed(), limits);
}

/** Understands the text of a record. Pure. @param elapsed ms since the host started */
export function judgeRecord(
  text: string,
  elapsed: number,
  limits: Limits,
): Exclude<ServingReading, { kind: 'missing' }> {
  let json: unknown;
  try {
    json = parseJsonText(text);
  } catch (error) {
    return { kind: 'damaged', reason: messageOf(error) };
  }
  const parsed = v.safeParse(servingRecordSchema, json);
  if (!parsed.success) return { kind: 'damaged', reason: describeMismatch(parsed.issues[0], 'record') };
  const age = elapsed - parsed.output.updatedElapsed;
  return { kind: age >= 0 && age < limits.SERVING_STALE ? 'fresh' : 'stale', record: parsed.output };
}
