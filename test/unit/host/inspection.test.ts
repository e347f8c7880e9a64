import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InspectionError } from '../../../src/host/errors.ts';
import { inspectHost, renderInspection, type HostFacts } from '../../../src/host/inspection.ts';
import { readRegistrationKey, registrationKeyFileOf } from '../../../src/host/identity.ts';
import { pathsBelow, type Paths } from '../../../src/support/configuration.ts';
import { ConfigurationError, InterruptedError } from '../../../src/support/errors.ts';
import { isRoot, onFewInodes, onReadOnly } from './files/small-disk.ts';

let folder: string;
let paths: Paths;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'host-inspection-'));
  await mkdir(join(folder, 'rancher'));
  await mkdir(join(folder, 'proc/1/root'), { recursive: true });
  paths = pathsBelow(join(folder, 'rancher'), join(folder, 'proc'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const inspect = (operatingSystem = 'CentOS Linux 7 (Core)'): Promise<HostFacts> =>
  inspectHost({ paths, operatingSystem, randomBytes });

describe('inspectHost', () => {
  it('lets a signal that comes while the engine is asked pass as what it is', async () => {
    const operatingSystem = Promise.reject<string>(new InterruptedError('SIGTERM'));
    const inspecting = inspectHost({ paths, operatingSystem, randomBytes });
    await expect(inspecting).rejects.toBeInstanceOf(InterruptedError);
  });

  it('finds an ordinary host writable and gives it an identity', async () => {
    const facts = await inspect();
    expect(facts).toMatchObject({
      boot2docker: false,
      varLibWritable: true,
      isKeyKept: true,
      rancherOs: false,
    });
    expect(await inspect()).toEqual(facts);
  });

  it('never takes boot2docker for writable, but keeps its identity', async () => {
    const facts = await inspect('Boot2Docker 1.10.3 (TCL 6.4.1)');
    expect(facts).toMatchObject({ boot2docker: true, varLibWritable: false });
    expect((await inspect('Boot2Docker 1.10.3 (TCL 6.4.1)')).registrationKey).toBe(facts.registrationKey);
  });

  it.runIf(isRoot)('finds a read-only host not writable, with a key for this time only', async () => {
    const facts = await onReadOnly(paths.rancher, () => inspect());
    expect(facts).toMatchObject({ varLibWritable: false, isKeyKept: false });
    expect(await readRegistrationKey(paths)).toBeUndefined();
    expect(facts.registrationKey).toMatch(/^[0-9a-f]{128}$/);
  });

  // Incident, why 7: a full disk was taken for "not writable", and the host registered twice.
  it.runIf(isRoot)('ends on a full disk instead of giving the host another identity', async () => {
    await onFewInodes(paths.rancher, async () => {
      for (let n = 0; n < 20; n += 1) await writeFile(join(paths.rancher, `${n}`), '').catch(() => undefined);
      await expect(inspect()).rejects.toThrow(InspectionError);
      await expect(inspect()).rejects.toThrow(/no space left on device/i);
    });
  });

  it('ends when a file stands where the folder should be', async () => {
    await writeFile(paths.state, '');
    await expect(inspect()).rejects.toThrow(InspectionError);
  });

  it('ends when the identity can not be read, and makes no other', async () => {
    await mkdir(registrationKeyFileOf(paths), { recursive: true });
    await expect(inspect()).rejects.toThrow(InspectionError);
    expect(await readdir(paths.state)).toEqual(['.registration_token']);
  });

  it('ends when the identity is damaged', async () => {
    await mkdir(paths.state);
    await writeFile(registrationKeyFileOf(paths), 'garbage');
    await expect(inspect()).rejects.toThrow(ConfigurationError);
  });

  it("sees RancherOS and systemd in the host's root, also behind an absolute link", async () => {
    const root = join(paths.proc, '1/root');
    await mkdir(join(root, 'run/systemd/system'), { recursive: true });
    await mkdir(join(root, 'var'));
    await symlink('/run', join(root, 'var/run'));
    await writeFile(join(root, 'run/system-docker.sock'), '');
    expect(await inspect()).toMatchObject({ rancherOs: true, systemd: true });
  });
});

describe('renderInspection', () => {
  const facts: HostFacts = {
    registrationKey: 'abc123',
    boot2docker: false,
    isKeyKept: true,
    varLibWritable: true,
    rancherOs: false,
    systemd: true,
  };

  it('prints what the server and old upgrades read, byte for byte', () => {
    const common = [
      'INFO: env "TOKEN=abc123"',
      'INFO: env "CATTLE_BOOT2DOCKER=false"',
      'INFO: env "CATTLE_VAR_LIB_WRITABLE=true"',
    ];
    expect(renderInspection(facts, 'rancher-1.2')).toEqual(common);
    expect(renderInspection(facts, 'pasturestack')).toEqual(common);
    expect(renderInspection(facts, 'rancher-1.0')).toEqual([
      ...common,
      'INFO: env "CATTLE_RANCHEROS=false"',
      'INFO: env "CATTLE_SYSTEMD=true"',
    ]);
  });
});
