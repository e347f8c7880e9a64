import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Context,
  ignoreOtherEngines,
  requireSoundConfiguration,
  requireThisEngine,
  withAgentConf,
} from '../../../src/commands/context.ts';
import { pathsBelow, readConfiguration } from '../../../src/support/configuration.ts';
import { silentLog, type Log } from '../../../src/support/log.ts';
import { hasSilentFolders, withSilentFolder } from '../../support/host/silent-folder.ts';
import { commandContext } from '../fakes/command-context.ts';

let folder: string;
let originalMessage: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'context-'));
  await mkdir(join(folder, 'etc'));
  originalMessage = [];
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

function contextOf(environment: Record<string, string>): Context {
  const log: Log = {
    ...silentLog,
    warn: (message) => void originalMessage.push(`WARN ${message}`),
    error: (message) => void originalMessage.push(`ERROR ${message}`),
  };
  return commandContext({
    configuration: { ...readConfiguration(environment, 'host'), paths: pathsBelow(folder) },
    log,
    command: 'run',
  });
}

describe('agent.conf', () => {
  it('counts before the environment', async () => {
    await writeFile(join(folder, 'etc/agent.conf'), 'export AGENT_LIMIT_VERIFY=7\n');
    const { configuration } = await withAgentConf(contextOf({ AGENT_LIMIT_VERIFY: '1' }));
    expect(configuration.limits.VERIFY).toBe(7);
    expect(originalMessage).toEqual([]);
  });

  it('has its settings named that this program does not read, as the environment has', async () => {
    await writeFile(
      join(folder, 'etc/agent.conf'),
      'export RC16_AGENT_CURL_MAX_TIME=9\nexport AGENT_LIMIT_VERFY=7\nexport PLATFORM_URL=http://s\n',
    );
    await withAgentConf(contextOf({ AGENT_PROFILE: 'pasturestack' }));
    expect(originalMessage).toEqual([
      expect.stringContaining('agent.conf: there is no limit AGENT_LIMIT_VERFY'),
      expect.stringContaining('agent.conf: RC16_AGENT_CURL_MAX_TIME is not read here'),
      expect.stringContaining('agent.conf: PLATFORM_URL is not read here: set CATTLE_URL'),
    ]);
  });

  it('does not put into the environment which images are allowed: a copy would outlive the line', async () => {
    await writeFile(join(folder, 'etc/agent.conf'), 'export AGENT_IMAGES_ALLOWED=rancher/\nexport A=1\n');
    const { configuration } = await withAgentConf(contextOf({ AGENT_IMAGES_ALLOWED: 'ghcr.io/' }));
    expect(configuration.environment).toMatchObject({ A: '1', AGENT_IMAGES_ALLOWED: 'ghcr.io/' });
  });

  it.runIf(hasSilentFolders)(
    'on a disk that does not answer is waited for, and the log says so',
    async () => {
      await withSilentFolder(join(folder, 'etc'), async ({ path, silence, speak }) => {
        await writeFile(join(path, 'agent.conf'), 'export AGENT_LIMIT_VERIFY=7\n');
        silence();
        const reading = withAgentConf(contextOf({ AGENT_LIMIT_HOST_FILE: '50' }));
        await expect
          .poll(() => originalMessage)
          .toEqual(['ERROR the disk of /var/lib/rancher does not answer; nothing is done before it does']);
        speak();
        expect((await reading).configuration.limits.VERIFY).toBe(7);
      });
    },
  );
});

describe('a configuration', () => {
  it('that is odd is remarked on and taken; one that is wrong is refused', () => {
    requireSoundConfiguration(contextOf({ LOG_FORMAT: 'xml' }));
    expect(originalMessage).toEqual(['WARN LOG_FORMAT is text or json, not "xml": text is used']);
    expect(() => {
      requireSoundConfiguration(contextOf({ AGENT_PROFILE: 'none' }));
    }).toThrow('AGENT_PROFILE must be one of');
  });
});

describe('a DOCKER_HOST that is another engine', () => {
  const address = 'tcp://10.0.0.1:2375';
  const variables = { DOCKER_HOST: address, DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/c', A: '1' };

  it('stops the command of a person, with what to do', () => {
    expect(() => requireThisEngine(contextOf(variables))).toThrow(`DOCKER_HOST is "${address}"`);
    expect(requireThisEngine(contextOf({ DOCKER_HOST: 'unix:///s' })).configuration.socketPath).toBe('/s');
  });

  it('does not stop an agent, whose children do not get it either', () => {
    const { configuration } = ignoreOtherEngines(contextOf(variables));
    expect(configuration).toMatchObject({ socketPath: '/var/run/docker.sock', environment: { A: '1' } });
    expect(configuration.environment).toEqual({ A: '1' });
    expect(originalMessage).toEqual([expect.stringMatching(/^WARN DOCKER_HOST is "tcp:.*: it is ignored$/)]);
  });

  it('is ignored in agent.conf as well; a socket is passed on', async () => {
    await writeFile(
      join(folder, 'etc/agent.conf'),
      `export DOCKER_HOST=${address}\nexport DOCKER_TLS_VERIFY=1\n`,
    );
    const { configuration } = await withAgentConf(contextOf({}));
    expect(configuration.environment).toEqual({});
    expect(configuration.socketPath).toBe('/var/run/docker.sock');
    expect(originalMessage).toEqual([expect.stringMatching(/^WARN agent.conf: DOCKER_HOST is "tcp:/)]);
    await writeFile(join(folder, 'etc/agent.conf'), 'export DOCKER_HOST=unix:///run/other.sock\n');
    const other = await withAgentConf(contextOf({}));
    expect(other.configuration.environment).toEqual({ DOCKER_HOST: 'unix:///run/other.sock' });
  });
});
