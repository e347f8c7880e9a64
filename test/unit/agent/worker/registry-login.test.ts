import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findLogin } from '../../../../src/agent/worker/registry-login.ts';
import { pathsBelow } from '../../../../src/support/paths.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { createSecrets } from '../../../../src/support/secrets.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'login-'));
  for (const name of ['etc', 'of-conf', 'of-caller']) await mkdir(join(folder, name));
  for (const name of ['of-conf', 'of-caller']) {
    const auth = Buffer.from(`${name}:the-password`).toString('base64');
    await writeFile(
      join(folder, name, 'config.json'),
      JSON.stringify({ auths: { 'registry.example': { auth } } }),
    );
  }
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

async function find(conf: string | undefined, environment: Readonly<Record<string, string>> = {}) {
  if (conf !== undefined) await writeFile(join(folder, 'etc/agent.conf'), conf);
  const warnings: string[] = [];
  const secrets = createSecrets();
  const auth = await findLogin(
    {
      configuration: { paths: pathsBelow(folder), environment: { HOME: folder, ...environment } },
      secrets,
      log: { ...silentLog, warn: (message) => void warnings.push(message) },
    },
    'registry.example/rancher/agent:v1',
  );
  return { user: auth?.username, warnings, masked: secrets.scrub('the-password') };
}

it('the worker of an upgrade finds the login that agent.conf leads to, whoever asked for it', async () => {
  const conf = `export DOCKER_CONFIG=${folder}/of-conf\n`;
  expect(await find(conf)).toEqual({ user: 'of-conf', warnings: [], masked: '***' });
  const caller = { DOCKER_CONFIG: join(folder, 'of-caller') };
  expect(await find(conf, caller)).toMatchObject({ user: 'of-conf' });
});

it('without that line the variable of the caller counts, and without both there is no login', async () => {
  expect(await find(undefined, { DOCKER_CONFIG: join(folder, 'of-caller') })).toMatchObject({
    user: 'of-caller',
  });
  expect(await find('export A=1\n')).toEqual({ user: undefined, warnings: [], masked: 'the-password' });
});

it('a line that is not understood is named', async () => {
  const { user, warnings } = await find('export DOCKER_CONFIG=$HOME/of-conf\n');
  expect(user).toBeUndefined();
  expect(warnings).toEqual([expect.stringContaining('DOCKER_CONFIG is not known')]);
});
