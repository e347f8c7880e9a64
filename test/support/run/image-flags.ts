import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The flags that the image's launcher gives to Node: the first ones, which all commands but `cleanup` get. */
export function imageNodeFlags(): readonly string[] {
  const launcher = readFileSync(join(import.meta.dirname, '../../../image/run.sh'), 'utf8');
  const flags = /^node_flags='([^']+)'/m.exec(launcher)?.[1];
  if (flags === undefined) throw new Error('image/run.sh has no node_flags');
  return flags.split(' ');
}
