import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Environment } from '../../../../support/configuration.ts';
import type { ReadinessFailure } from '../result.ts';
import type { ScriptPrograms } from '../../bootstrap/script-programs.ts';

/** Where `execvp` looks without a PATH. */
const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface ProgramsVerdict {
  readonly failure: ReadinessFailure | undefined;
  readonly warnings: readonly string[];
}

/** Looks for the programs that the server's script calls, where the script will look for them; runs none of them. */
export async function checkPrograms(
  programs: ScriptPrograms,
  environment: Environment,
): Promise<ProgramsVerdict> {
  const folders = (environment['PATH'] ?? defaultPath).split(':');
  const [missing, missingSometimes] = await Promise.all([
    findMissing(programs.always, folders),
    findMissing(programs.sometimes, folders),
  ]);
  const warnings = missingSometimes.map(
    (program) => `there is no ${program} in this image; some servers or parts of the agent call it`,
  );
  return { failure: missing.length === 0 ? undefined : describeMissing(missing), warnings };
}

function describeMissing(missing: readonly string[]): ReadinessFailure {
  return {
    check: 'programs',
    fault: 'image',
    cause: 'ready-programs-missing',
    message: `there is no ${missing.join(', ')} in this image, which the server's bootstrap script calls`,
    hint: 'Build the image from a base that has these programs, or have the server require another image.',
  };
}

async function findMissing(
  programs: readonly string[],
  folders: readonly string[],
): Promise<readonly string[]> {
  const present = await Promise.all(programs.map(async (program) => isPresent(program, folders)));
  return programs.filter((_program, index) => present[index] !== true);
}

async function isPresent(program: string, folders: readonly string[]): Promise<boolean> {
  for (const folder of folders) if (await isProgram(join(folder === '' ? '.' : folder, program))) return true;
  return false;
}

async function isProgram(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}
