import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkReadiness } from '../../../src/commands/ready.ts';
import { pathsBelow, readConfiguration } from '../../../src/support/configuration.ts';
import { ConfigurationError } from '../../../src/support/errors.ts';
import { commandContext } from '../fakes/command-context.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ready-'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

const whole = {
  CATTLE_URL: 'http://127.0.0.1:9/v1',
  CATTLE_ACCESS_KEY: 'AGENTKEY',
  CATTLE_SECRET_KEY: 'agent-secret-key',
};

async function errorOf(environment: Readonly<Record<string, string>>): Promise<unknown> {
  const context = commandContext({
    configuration: { ...readConfiguration(environment, 'host'), paths: pathsBelow(folder) },
    command: 'ready',
  });
  return checkReadiness(context).then(
    (result) => ({ result }),
    (error: unknown) => error,
  );
}

it.each<[string, Readonly<Record<string, string>>]>([
  ['anything', {}],
  ['the server', { ...whole, CATTLE_URL: '' }],
  ['the keys', { CATTLE_URL: whole.CATTLE_URL }],
  ['one of the keys', { ...whole, CATTLE_SECRET_KEY: '' }],
  ['a URL that is one', { ...whole, CATTLE_URL: 'rancher.example' }],
])('ready without %s is a wrong configuration, and no fault of the network', async (_what, environment) => {
  const error = await errorOf(environment);
  expect(error).toBeInstanceOf(ConfigurationError);
  expect(error).toMatchObject({ code: 'bad-configuration', exitCode: 78 });
  expect(String(error)).toContain('CATTLE_URL');
  expect((error as ConfigurationError).hint).toContain('docker exec rancher-agent /run.sh ready');
  expect(JSON.stringify(error)).not.toContain(whole.CATTLE_SECRET_KEY);
});
