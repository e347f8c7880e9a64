/**
 * The images of a test host, kept as *templates*: the images' part of a data root, which a new host links instead of
 * building or loading anything. Made once per machine and content, under .cache/templates.
 *
 * - `agent-test-base`: a small Debian, scripts/fixtures/build-test-base
 * - `rancher/agent:test-a`, `rancher/agent:test-b`: the product, two image ids
 * - `rancher/agent:test-broken`: the same, but its `run` ends at once with status 3
 * - `rancher/agent:v1.0-test-a`, `-b`, `ghcr.io/pasturestack/node-agent:test-a`, `-b`: the product in its other
 *   profiles
 * - `rancher/agent:v1.0.1`: no product, an agent of another entrypoint
 * - only in the template of `ensureBasesTemplate`: `rancher/agent:on-bullseye-a`, `-b` and so on, the product on the
 *   other bases of scripts/fixtures/build-other-bases, and `rancher/agent:on-busybox-without-bash`
 * - only in the template of `ensureReadinessTemplate`: `rancher/agent:ready-*`, see readiness-images/Dockerfile
 * - only in the template of `ensureEarlierTemplate`: `rancher/agent:test-earlier`, version 0.1, or what stands in for
 *   it
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, glob, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { buildEarlierVersion, earlierCommit, hasEarlierCommit } from './earlier-version.ts';
import { ensureEngineRoot } from '../host/engine-root.ts';
import { claimName } from '../host/host-slot.ts';
import { readinessImage, readinessStages } from './readiness-images.ts';
import { startBareHost, type TestHost } from '../host/test-host.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..', '..');
const TEMPLATES = join(ROOT, '.cache', 'templates');
const BUILD_DEADLINE_MS = 15 * 60_000;
/** Older templates are removed, unless somebody used them within this time. */
const KEPT_TEMPLATES = 4;
const KEEP_MS = 60 * 60_000;

const BASE_SOURCES = ['scripts/fixtures/build-test-base', 'scripts/lib/setup.sh'];
const IMAGE_SOURCES = [
  'src/**/*.ts',
  'image/**/*',
  'test/support/images/broken-image/*',
  'test/support/images/profile-image/*',
  'test/support/images/plain-agent-image/*',
  'scripts/build-image',
  'scripts/image/*.ts',
  'scripts/image/assemble-runtime',
  'package.json',
  'package-lock.json',
];
const OTHER_BASES_SOURCES = [
  'scripts/fixtures/build-other-bases',
  'scripts/image/fetch-debian',
  'test/support/images/bashless-image/*',
];
const READINESS_SOURCES = [
  'test/support/images/readiness-images/*',
  'test/support/images/legacy-stand-in/*',
  'test/support/server/certificates/authority.crt',
];
const EARLIER_SOURCES = ['test/support/images/earlier-image/*', 'test/support/images/earlier-version.ts'];
/** As scripts/fixtures/build-other-bases names them. */
export const otherBases = ['bullseye', 'busybox', 'musl'] as const;

/** The template with all images; built if the sources changed since. All hosts of one test run get the same one. */
export async function ensureTemplate(): Promise<string> {
  process.env['RAH_TEMPLATE'] ??= await ensureImageTemplate();
  return process.env['RAH_TEMPLATE'];
}

/** The template with nothing but `agent-test-base`. */
export async function ensureBaseTemplate(): Promise<string> {
  const engine = basename((await ensureEngineRoot()) ?? '');
  const key = await hashFiles(BASE_SOURCES, [await describeFile('/usr/bin/docker'), engine]);
  return ensure(`base-${key}`, undefined, async (host) => {
    await runScript('scripts/fixtures/build-test-base', '--host', `unix://${host.engineSocketPath}`);
  });
}

async function ensureImageTemplate(): Promise<string> {
  const base = await ensureBaseTemplate();
  const key = await hashFiles(IMAGE_SOURCES, [base, process.version]);
  return ensure(`images-${key}`, base, async (host) => {
    // The tests also run where Debian has newer libraries. test/repo/build/assemble-runtime.test.ts checks those of a
    // release.
    const socket = `unix://${host.engineSocketPath}`;
    const engine = ['--host', socket, '--unlocked', '--base', 'agent-test-base'];
    await runScript('scripts/build-image', ...engine, '--tag', 'rancher/agent:test-a', '--revision', 'a');
    await runScript('scripts/build-image', ...engine, '--tag', 'rancher/agent:test-b', '--revision', 'b');
    await buildImage(host, 'rancher/agent:test-broken', 'broken-image');
    await buildImage(host, 'rancher/agent:v1.0.1', 'plain-agent-image');
    for (const [profile, name] of profileImages) {
      for (const revision of ['a', 'b']) {
        const tag = `${name}test-${revision}`;
        await buildImage(
          host,
          tag,
          'profile-image',
          `BASE=rancher/agent:test-${revision}`,
          `PROFILE=${profile}`,
          `TAG=${tag}`,
        );
      }
    }
  });
}

/** The template with the other bases and the product on them as well. */
export async function ensureBasesTemplate(): Promise<string> {
  const images = await ensureTemplate();
  const key = await hashFiles(OTHER_BASES_SOURCES, [basename(images)]);
  return ensure(`bases-${key}`, images, async (host) => {
    const engine = ['--host', `unix://${host.engineSocketPath}`];
    await runScript('scripts/fixtures/build-other-bases', ...engine);
    for (const base of otherBases) {
      const tag = `rancher/agent:on-${base}`;
      const options = [...engine, '--unlocked', '--base', `other-base:${base}`];
      await runScript('scripts/build-image', ...options, '--tag', `${tag}-a`);
      const second = [`BASE=${tag}-a`, 'PROFILE=rancher-1.2', `TAG=${tag}-b`];
      await buildImage(host, `${tag}-b`, 'profile-image', ...second);
    }
    const bashless = 'rancher/agent:on-busybox-without-bash';
    await buildImage(host, bashless, 'bashless-image', 'BASE=rancher/agent:on-busybox-a');
  });
}

/** The template with the images of the readiness tests as well. */
export async function ensureReadinessTemplate(): Promise<string> {
  const images = await ensureTemplate();
  const key = await hashFiles(READINESS_SOURCES, [basename(images)]);
  return ensure(`readiness-${key}`, images, async (host) => {
    await buildImage(host, 'rancher/agent:old-way', 'legacy-stand-in');
    const context = join(import.meta.dirname, '..');
    const file = join(import.meta.dirname, 'readiness-images', 'Dockerfile');
    for (const stage of readinessStages) {
      await host.docker('build', '-q', '-f', file, '--target', stage, '-t', readinessImage(stage), context);
    }
  });
}

/** The template with the image of version 0.1 as well. */
export async function ensureEarlierTemplate(): Promise<string> {
  const images = await ensureTemplate();
  const isHere = await hasEarlierCommit();
  const source = isHere ? earlierCommit : 'stand-in';
  const key = await hashFiles(EARLIER_SOURCES, [basename(images), source]);
  return ensure(`earlier-${key}`, images, async (host) => {
    const engine = ['--host', `unix://${host.engineSocketPath}`, '--base', 'agent-test-base'];
    if (isHere) await buildEarlierVersion('rancher/agent:test-earlier', engine);
    else await buildImage(host, 'rancher/agent:test-earlier', 'earlier-image');
  });
}

const profileImages = [
  ['rancher-1.0', 'rancher/agent:v1.0-'],
  ['pasturestack', 'ghcr.io/pasturestack/node-agent:'],
] as const;

async function buildImage(
  host: TestHost,
  tag: string,
  folder: string,
  ...buildArguments: readonly string[]
): Promise<void> {
  const options = buildArguments.flatMap((argument) => ['--build-arg', argument]);
  await host.docker('build', '-q', '-t', tag, ...options, join(import.meta.dirname, folder));
}

/** Builds a template in an engine of its own that starts with the images of `from`, unless it is there already. */
async function ensure(
  name: string,
  from: string | undefined,
  build: (host: TestHost) => Promise<void>,
): Promise<string> {
  const template = join(TEMPLATES, name);
  if (await markUsed(template)) return template;
  const release = await waitForName('template-build');
  try {
    if (await markUsed(template)) return template;
    await runScript('scripts/fixtures/install-prerequisites');
    await buildTemplate(template, from, build);
    await removeOldTemplates();
    return template;
  } finally {
    await release();
  }
}

async function buildTemplate(
  template: string,
  from: string | undefined,
  build: (host: TestHost) => Promise<void>,
): Promise<void> {
  const host = await startBareHost({ name: 'builder' }, from);
  try {
    await build(host);
    await host.stopEngine();
    await mkdir(TEMPLATES, { recursive: true });
    const unfinished = await mkdtemp(join(TEMPLATES, 'unfinished-'));
    for (const part of ['image', 'overlay2']) await run('mv', [join(host.dockerRoot, part), unfinished]);
    await rename(unfinished, template);
  } finally {
    await host.stop();
  }
}

async function markUsed(template: string): Promise<boolean> {
  const now = new Date();
  return utimes(template, now, now).then(
    () => true,
    () => false,
  );
}

async function removeOldTemplates(): Promise<void> {
  const names = (await readdir(TEMPLATES)).map((name) => join(TEMPLATES, name));
  const used = await Promise.all(names.map(async (path) => ({ path, at: (await stat(path)).mtimeMs })));
  used.sort((a, b) => b.at - a.at);
  for (const { path, at } of used.slice(KEPT_TEMPLATES)) {
    if (Date.now() - at > KEEP_MS) await rm(path, { recursive: true, force: true });
  }
}

async function waitForName(name: string): Promise<() => Promise<void>> {
  const deadline = Date.now() + BUILD_DEADLINE_MS;
  for (;;) {
    const release = await claimName(name);
    if (release) return release;
    if (Date.now() > deadline) throw new Error(`somebody else holds ${name} for ${BUILD_DEADLINE_MS} ms`);
    await sleep(200);
  }
}

async function runScript(script: string, ...args: string[]): Promise<void> {
  try {
    await run(join(ROOT, script), args, {
      cwd: ROOT,
      timeout: BUILD_DEADLINE_MS,
      maxBuffer: 64 * 1024 * 1024,
    });
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new Error(`${script} ${args.join(' ')} failed:\n${stderr.trim()}`, { cause: error });
  }
}

async function hashFiles(patterns: readonly string[], more: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const line of more) hash.update(`${line}\n`);
  const files: string[] = [];
  for await (const entry of glob([...patterns], { cwd: ROOT, withFileTypes: true })) {
    if (entry.isFile()) files.push(join(entry.parentPath, entry.name));
  }
  for (const file of files.sort()) hash.update(`${file}\n`).update(await readFile(file));
  return hash.digest('hex').slice(0, 12);
}

async function describeFile(file: string): Promise<string> {
  const { size, mtimeMs } = await stat(file);
  return `${file} ${size} ${mtimeMs}`;
}

/** Whether there is a product to put into an image. */
export async function hasProduct(): Promise<boolean> {
  return access(join(ROOT, 'src', 'main.ts')).then(
    () => true,
    () => false,
  );
}
