import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createContext, requireSoundConfiguration, withAgentConf } from '../../../src/commands/context.ts';
import { pathsBelow, readConfiguration } from '../../../src/support/configuration.ts';
import { silentLog, type Log } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';
import { keyboardOf, terminalOf } from '../../../src/support/terminal.ts';
import { hasSilentFolders, withSilentFolder } from '../../support/host/silent-folder.ts';

let folder: string;
let originalMessage: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'context-'));
  await mkdir(join(folder, 'etc'));
  originalMessage = [];
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

function contextOf(environment: Record<string, string>): ReturnType<typeof createContext> {
  const log: Log = {
    ...silentLog,
    warn: (message) => void originalMessage.push(`WARN ${message}`),
    error: (message) => void originalMessage.push(`ERROR ${message}`),
  };
  return createContext({
    configuration: { ...readConfiguration(environment, 'host'), paths: pathsBelow(folder) },
    log,
    secrets: createSecrets(),
    version: 'test',
    command: 'run',
    signal: new AbortController().signal,
    write: () => undefined,
    terminal: terminalOf(() => process.stdout, false),
    keyboard: keyboardOf(() => process.stdin),
  });
}

describe('agent.conf', () => {
  it('counts before the environment', async () => {
    await writeFile(join(folder, 'etc/agent.conf'), 'export AGENT_LIMIT_VERIFY=7\n');
    const { configuration } = await withAgentConf(contextOf({ AGENT_LIMIT_VERIFY: '1' }));
    expect(configuration.limits.VERIFY).toBe(7);
    expect(originalMessage).toEqual([]);
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
