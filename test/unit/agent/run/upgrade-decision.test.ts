import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Outcome } from '../../../../src/agent/report/outcome.ts';
import { createReporter } from '../../../../src/agent/report/reporter.ts';
import { decideUpgrade, requirementOf } from '../../../../src/agent/run/upgrade-decision.ts';
import { readRequiredImage } from '../../../../src/control-plane/required-image.ts';
import { noAttempts, recordBegin, writeAttempts } from '../../../../src/host/files/attempts.ts';
import { readStatus, type HostStatus } from '../../../../src/host/files/status.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { createSecrets } from '../../../../src/support/secrets.ts';
import { VirtualClock } from '../../fakes/simulated-host.ts';

const a = 'rancher/agent:v1.2.10';
const b = 'rancher/agent:v1.2.11';
const minute = 60_000;

let folder: string;
let clock: VirtualClock;
/** Failed upgrades whose reason is gone, as the tracker was told. */
let over: { readonly found: HostStatus; readonly summary: string }[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'decision-'));
  clock = new VirtualClock();
  over = [];
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function reporter() {
  const paths = pathsBelow(folder);
  const secrets = createSecrets();
  return createReporter({
    configuration: { paths, limits: defaultLimits, environment: {} },
    clock,
    log: silentLog,
    secrets,
    command: 'run',
    version: '1',
  });
}

/** The agent runs from `own`; `ids` are the images that the host has. @returns the image to follow, or until when not */
async function decide(
  image: string,
  own: string,
  ids: Readonly<Record<string, string>> = {},
): Promise<string | number | undefined> {
  const inspectImage = (reference: string) => {
    const id = ids[reference];
    return Promise.resolve(id === undefined ? undefined : { id, labels: {}, repoTags: [], repoDigests: [] });
  };
  const decision = {
    engine: { inspectImage },
    paths: pathsBelow(folder),
    limits: defaultLimits,
    clock,
    log: silentLog,
    reporter: reporter(),
    serving: { failureIsOver: (found: HostStatus, summary: string) => over.push({ found, summary }) },
  };
  const required = { kind: 'image', image } as const;
  const decided = await decideUpgrade(decision, required, { image: own, imageId: `id of ${own}` });
  return decided.do === 'upgrade' ? decided.targetImage : decided.do === 'wait' ? decided.until : undefined;
}

/** The host was sent to these images, a minute apart. */
async function sentTo(...images: readonly string[]): Promise<void> {
  let attempts = noAttempts;
  for (const image of images) {
    attempts = recordBegin(attempts, image, clock.now(), defaultLimits);
    clock.advance(minute);
  }
  await writeAttempts(pathsBelow(folder), attempts);
}

async function status(): Promise<HostStatus | undefined> {
  const reading = await readStatus(pathsBelow(folder));
  return reading.kind === 'valid' ? reading.status : undefined;
}

describe('what the server requires', () => {
  it('is followed when it is another image', async () => {
    expect(await decide(b, a)).toBe(b);
    expect(await decide(b, a, { [b]: 'id of something else' })).toBe(b);
    expect(await status()).toBeUndefined();
  });

  it('is reached when it is the image that runs, by whatever name', async () => {
    const mirrored = 'mirror.example:5000/rancher/agent@sha256:0123';
    expect(await decide(a, a)).toBeUndefined();
    expect(await decide(mirrored, a, { [mirrored]: `id of ${a}` })).toBeUndefined();
  });
});

describe('two servers behind one address that require different images', () => {
  it('are not followed for ever: no worker is made, and the state says which images and when', async () => {
    await sentTo(a, b, a, b);
    expect(await decide(a, b)).toBe(Date.parse('2026-01-01T01:00:00.000Z'));
    const told = await status();
    expect(told).toMatchObject({ state: 'deferred', exitCode: 75, cause: 'flapping-requirement' });
    expect(told?.summary).toContain(
      `${a} at 2026-01-01T00:00:00.000Z, ${b} at 2026-01-01T00:01:00.000Z, ${a} at`,
    );
    expect(told?.summary).toContain(`the agent (${b}) keeps running`);
    expect(told?.nextAttemptAt).toBe('2026-01-01T01:00:00.000Z');
  });

  it('stop flapping when they agree: the state is ok again, but not while an image would still be refused', async () => {
    await sentTo(a, b, a, b);
    await decide(a, b);
    await decide(b, b);
    expect((await status())?.state).toBe('deferred');
    clock.advance(60 * minute);
    await decide(b, b);
    expect(await status()).toMatchObject({ state: 'ok', exitCode: 0 });
  });

  it('end it as well by agreeing on the one that was refused: it is followed when the window has passed', async () => {
    await sentTo(a, b, a, b);
    clock.advance(50 * minute);
    expect(await decide(a, b)).toBeTypeOf('number');
    clock.advance(7 * minute);
    expect(await decide(a, b)).toBe(a);
  });

  it('do not cover up a state that needs a person', async () => {
    const failed: Outcome = { state: 'failed', exitCode: 73, summary: 'broken' };
    await reporter().ended(failed);
    await sentTo(a, b, a, b);
    expect(await decide(a, b)).toBeTypeOf('number');
    expect(await status()).toMatchObject({ state: 'failed', summary: 'broken' });
  });

  it('a person who goes up, back, and up again is followed', async () => {
    await sentTo(a, b, a);
    expect(await decide(b, a)).toBe(b);
  });
});

describe('a failed upgrade', () => {
  const failed: Outcome = {
    state: 'failed',
    exitCode: 73,
    summary: 'the image cannot be pulled',
    cause: 'cannot-change',
  };

  it('is over when the server requires the image that runs again: a typo was corrected', async () => {
    await reporter().ended(failed);
    expect(await decide(a, a)).toBeUndefined();
    expect(over).toMatchObject([{ found: { state: 'failed', summary: failed.summary } }]);
    expect(over[0]?.summary).toContain(a);
    // Whether the agent serves is not known here: the state is not touched.
    expect(await status()).toMatchObject({ state: 'failed' });
  });

  it.each<[string, Outcome]>([
    ['another image is required', failed],
    ['the state is about the keys', { ...failed, cause: 'keys-revoked' }],
    ['a container cannot be removed', { ...failed, state: 'degraded', cause: 'cannot-remove' }],
    ['all is well', { state: 'ok', exitCode: 0, summary: 'fine' }],
  ])('is not over when %s', async (title, outcome) => {
    await reporter().ended(outcome);
    await decide(title === 'another image is required' ? b : a, a);
    expect(over).toEqual([]);
  });
});

describe("PastureStack's script and agents of Rancher's own image", () => {
  const required = `REQUIRED_IMAGE="${b}"\n`;
  const pastures = `#!/bin/bash\nUPGRADE=pasturestack-node-agent-upgrade\n${required}`;
  const sent = (script: string) => ({ script, requiredImage: readRequiredImage(script) });
  const ranchers = `#!/bin/bash\nUPGRADE=rancher-agent-upgrade\n${required}`;

  it.each([
    ['rancher/agent:v1.2.11', 'none'],
    ['docker.io/rancher/agent:v1.0.2', 'none'],
    ['mirror.example/rancher/agent:v1.2.11', 'image'],
    ['ghcr.io/pasturestack/node-agent:v1.2.31', 'image'],
    ['rancher/agent-instance:v0.8', 'image'],
  ])('of %s it requires: %s', (image, kind) => {
    expect(requirementOf(sent(pastures), image).kind).toBe(kind);
    expect(requirementOf(sent(ranchers), image)).toEqual({ kind: 'image', image: b });
  });
});
