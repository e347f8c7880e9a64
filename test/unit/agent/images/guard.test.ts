import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createImageGuard } from '../../../../src/agent/images/guard.ts';
import { pathsBelow, type Environment } from '../../../../src/support/configuration.ts';
import { ConfigurationError, ImageNotAllowedError } from '../../../../src/support/errors.ts';

const image = 'rancher/agent:v2';
const target = { targetImage: image, image: { id: 'sha256:1', labels: {}, repoTags: [], repoDigests: [] } };
const name = 'AGENT_IMAGES_ALLOWED';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'guard-'));
  await mkdir(join(root, 'etc'));
});
afterEach(async () => rm(root, { recursive: true, force: true }));

async function ask(conf: string | undefined, command: Environment, agent: Environment): Promise<string> {
  if (conf !== undefined) await writeFile(join(root, 'etc/agent.conf'), conf);
  try {
    const configuration = { paths: pathsBelow(root), environment: command };
    const guard = await createImageGuard({ configuration }, agent);
    guard.requireName(image);
    guard.requireImage(target);
    return 'allowed';
  } catch (error) {
    if (error instanceof ImageNotAllowedError) return `refused, ${error.exitCode}: ${error.message}`;
    if (error instanceof ConfigurationError) return `not understood, ${error.exitCode}: ${error.message}`;
    throw error;
  }
}

it.each([
  ['nothing is set', undefined, {}, {}, /^allowed$/],
  ['agent.conf allows it', `export ${name}=rancher/\n`, {}, {}, /^allowed$/],
  ['agent.conf decides alone', `export ${name}=rancher/\n`, { [name]: 'x/' }, { [name]: '' }, /^allowed$/],
  [
    'agent.conf refuses it',
    `${name}='ghcr.io/pasturestack/'`,
    { [name]: 'rancher/' },
    {},
    /^refused, 77: .*rancher\/agent:v2 is not allowed.* in agent.conf is ghcr.io\/pasturestack\/$/,
  ],
  [
    'the command refuses it',
    undefined,
    { [name]: 'x/y/' },
    { [name]: 'rancher/' },
    /^refused.*of this command is x\/y\/$/,
  ],
  ['the agent refuses it', undefined, {}, { [name]: 'x/y/' }, /^refused, 77.*environment of the agent/],
  ['both allow it', undefined, { [name]: 'rancher/' }, { [name]: 'rancher/agent' }, /^allowed$/],
  ['the line is empty', `export ${name}=\n`, {}, {}, /^not understood, 78: no image is allowed.*empty/],
  ['the variable is empty', undefined, { [name]: '' }, {}, /^not understood, 78: no image is allowed/],
  [
    'the line needs a shell',
    `export ${name}=$LIST\n`,
    { [name]: 'rancher/' },
    {},
    /^not understood, 78.*line 1/,
  ],
  [
    'the line has two words',
    `export A=1\nexport ${name}=rancher/ ghcr.io/\n`,
    {},
    {},
    /^not understood, 78.*line 2/,
  ],
  ['the line unsets it', `unset ${name}\n`, {}, {}, /^not understood, 78/],
  [
    'a good line comes before a bad one',
    `${name}=rancher/\n${name}="rancher/\n`,
    {},
    {},
    /^not understood, 78/,
  ],
  ['a comment names it', `# export ${name}=x/y/\n`, {}, {}, /^allowed$/],
  ['another line is not understood', 'export A=$B\n', {}, {}, /^allowed$/],
  [
    'a digest decides, and it is another',
    `${name}=sha256:${'a'.repeat(64)}`,
    {},
    {},
    /^refused, 77: .*\(sha256:1\)/,
  ],
])('where %s', async (_what, conf, command, agent, answer) => {
  expect(await ask(conf, command as Environment, agent as Environment)).toMatch(answer);
});

it('where agent.conf cannot be read, no image is allowed', async () => {
  await mkdir(join(root, 'etc/agent.conf'));
  expect(await ask(undefined, { [name]: 'rancher/' }, {})).toMatch(
    /^not understood, 78: no image is allowed.*agent.conf is not understood: the file cannot be read/,
  );
});
