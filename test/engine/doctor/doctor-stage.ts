import { execFile } from 'node:child_process';
import { appendFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect } from 'vitest';
import type { Diagnosis } from '../../../src/doctor/diagnosis.ts';
import { images, quick, startScene, type Scene } from '../../support/scenes/scene.ts';

/* A host with a small disk and a server that knows an agent, and the doctor on it. */

export const run = promisify(execFile);
export const mib = 1024 * 1024;
/** Of an agent that the server knows from the start. */
export const keys = {
  accessKey: 'TESTACCESSKEY0000001',
  secretKey: 'testsecretkey000000000000000000000000001',
};
export const oldImage = 'rancher/agent:v1.0.2';

export let scene: Scene;

/** Starts the host of this test file. */
export function stageHost(): void {
  beforeAll(async () => {
    scene = await startScene({ name: 'doctor', smallDisk: { mib: 3000 }, stub: { agents: [keys] } });
  });
  afterAll(async () => scene.close());
}

export const socket = ['-v', '/var/run/docker.sock:/var/run/docker.sock'];
/** As the README has it. */
export const full = [
  '--rm',
  '--privileged',
  '--pid=host',
  ...socket,
  '-v',
  '/var/lib/rancher:/var/lib/rancher',
];

export interface Diagnosed {
  readonly status: number;
  readonly diagnosis: Diagnosis;
}

/** Runs the doctor as a program would; of the engine it asks only what changes nothing. */
export async function runDoctor(...options: readonly string[]): Promise<Diagnosed> {
  const before = scene.host.proxy.requests.length;
  const result = await scene.host.tryDocker('run', ...full, ...options, images.a, 'doctor', '--json');
  const asked = scene.host.proxy.requests
    .slice(before)
    .filter(({ userAgent }) => userAgent.includes('(doctor)'));
  expect(asked.map(({ method }) => method).filter((method) => method !== 'GET')).toEqual([]);
  expect(result.stdout, result.stderr).toMatch(/^\{/);
  for (const secret of [
    keys.secretKey,
    scene.server.token,
    ...scene.server.agents.map((each) => each.secretKey),
  ])
    expect(result.stdout + result.stderr).not.toContain(secret);
  return { status: result.status, diagnosis: JSON.parse(result.stdout) as Diagnosis };
}

/** The lines that stay unknown on a host with a legacy agent: nobody observes whether it serves. */
export const legacyUnknown: readonly string[] = ['serving'];

/** The diagnosis has these causes and this exit status; every other line is ok, and nothing is unknown. */
export async function expectCauses(
  causes: readonly string[],
  status: number,
  ...options: readonly string[]
): Promise<Diagnosis> {
  const { diagnosis, status: exit } = await runDoctor(...options);
  const shown = diagnosis.findings.map(({ check, level, text }) => `${level} ${check}: ${text}`).join('\n');
  expect(diagnosis.causes, shown).toEqual(causes);
  expect(exit, shown).toBe(status);
  const isLegacy = diagnosis.findings.some(({ text }) => text.includes('(legacy entrypoint)'));
  expect(diagnosis.unknown, shown).toEqual(isLegacy ? legacyUnknown : []);
  const wrong = diagnosis.findings.filter(({ level }) => level !== 'ok' && level !== 'unknown');
  expect(
    wrong.every(({ cause, advice }) => causes.includes(cause ?? '') && advice !== undefined),
    shown,
  ).toBe(true);
  return diagnosis;
}

export function lineOf(diagnosis: Diagnosis, check: string) {
  return diagnosis.findings.find((finding) => finding.check === check);
}

/** Plain http is accepted, as the operator of a trusted network has it: engine/server/origin.test.ts has the warning. */
export async function registered(): Promise<void> {
  await mkdir(join(scene.host.stateDir, 'etc'), { recursive: true });
  await appendFile(join(scene.host.stateDir, 'etc/agent.conf'), 'export AGENT_REQUIRE_HTTPS=false\n');
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
}

export async function startAgent(name: string, image: string, ...options: readonly string[]): Promise<void> {
  await scene.host.docker(
    ...['run', '-d', '--name', name, '--restart', 'always', '--privileged', '--net', 'host', '--pid', 'host'],
    ...[...socket, '-v', '/proc:/host/proc', '-v', '/var/lib/rancher:/var/lib/rancher'],
    ...['-e', `CATTLE_URL=${scene.server.url}/v1`],
    ...['-e', `CATTLE_ACCESS_KEY=${keys.accessKey}`, '-e', `CATTLE_SECRET_KEY=${keys.secretKey}`],
    ...quick,
    ...options,
    image,
    'run',
  );
}
