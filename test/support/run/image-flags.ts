import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The flags that the image's launcher gives to Node. @param index 0: of most commands; 1: of `cleanup` */
export function imageNodeFlags(index = 0): readonly string[] {
  const launcher = readFileSync(join(import.meta.dirname, '../../../image/run.sh'), 'utf8');
  const flags = [...launcher.matchAll(/node_flags='([^']+)'/g)][index]?.[1];
  if (flags === undefined) throw new Error('image/run.sh has no such node_flags');
  return flags.split(' ');
}
