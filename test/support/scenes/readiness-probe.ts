import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { tmpdir } from 'node:os';
import { access } from 'node:fs/promises';
import { selectProfile } from '../../../src/agent/identity/profile.ts';
import type { ReadinessProbe } from '../../../src/agent/run/readiness/readiness.ts';
import { scriptPrograms } from '../../../src/agent/run/bootstrap/script-programs.ts';
import { systemClock } from '../../../src/support/clock.ts';
import { pathsBelow, readConfiguration } from '../../../src/support/configuration.ts';
import type { Limits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';

/** Of an agent that the stub server knows from the start. */
export const agentKeys = {
  accessKey: 'TESTACCESSKEY0000001',
  secretKey: 'testsecretkey000000000000000000000000001',
};

/** A container as far as the checks see it: folders of its own, the programs of this machine, real processes. */
export interface ProbeScene {
  /** `/var/lib/rancher`. */
  readonly rancher: string;
  /** Where scripts are staged. */
  readonly staging: string;
  /** First in PATH: programs that a test puts there. */
  readonly programs: string;
  probe(
    url: string,
    environment?: Readonly<Record<string, string>>,
    limits?: Partial<Limits>,
  ): ReadinessProbe;
  /** A PATH with links to every program of the server's script but one. */
  pathWithout(program: string): Promise<string>;
  /** Puts a program of the test's own before the machine's. */
  put(program: string, text: string): Promise<void>;
  remove(): Promise<void>;
}

/** Short, and still longer than what a loaded machine needs for one local request. */
const quickLimits: Partial<Limits> = { HTTP_CONNECT: 2_000, READY_REQUEST: 3_000, READY_CURL_GRACE: 200 };

export async function createProbeScene(): Promise<ProbeScene> {
  const root = await mkdtemp(join(tmpdir(), 'readiness-'));
  const [rancher, staging, programs] = ['rancher', 'staging', 'programs'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [rancher, staging, programs]) await mkdir(folder);
  const path = `${programs}:${process.env['PATH'] ?? ''}`;
  return {
    rancher,
    staging,
    programs,
    probe: (url, environment = {}, limits = {}) => {
      const read = readConfiguration(
        {
          PATH: path,
          HOME: root,
          CATTLE_URL: url,
          CATTLE_ACCESS_KEY: agentKeys.accessKey,
          CATTLE_SECRET_KEY: agentKeys.secretKey,
          ...environment,
        },
        'test',
      );
      return {
        configuration: {
          ...read,
          limits: { ...read.limits, ...quickLimits, ...limits },
          paths: pathsBelow(rancher, '/proc', [staging]),
        },
        profile: selectProfile('rancher-1.2', {}),
        clock: systemClock,
        log: silentLog,
        secrets: createSecrets(),
        signal: new AbortController().signal,
      };
    },
    pathWithout: async (missing) => {
      const folder = await mkdtemp(join(root, 'path-'));
      const { always, sometimes } = scriptPrograms['rancher-1.2'];
      for (const program of [...always, ...sometimes]) {
        const file = program === missing ? undefined : await findProgram(program);
        if (file !== undefined) await symlink(file, join(folder, program));
      }
      return folder;
    },
    put: async (program, text) => writeFile(join(programs, program), text, { mode: 0o755 }),
    remove: async () => rm(root, { recursive: true, force: true }),
  };
}

async function findProgram(program: string): Promise<string | undefined> {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']) {
    const file = join(folder, program);
    if (
      await access(file).then(
        () => true,
        () => false,
      )
    )
      return file;
  }
  return undefined;
}
