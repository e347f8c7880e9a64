import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { namesOf } from '../../../src/agent/identity/roles.ts';
import { selectProfile } from '../../../src/agent/identity/profile.ts';
import { parseAgentConf } from '../../../src/control-plane/agent-conf.ts';
import { readDetails, readImage, readInfo, readSummary } from '../../../src/engine/answers.ts';
import { elementsOf } from '../../../src/engine/json-elements.ts';
import { skimLimits, summaryShape } from '../../../src/engine/json/shapes.ts';
import { parseMountinfo } from '../../../src/host/mounts/table.ts';
import { parseStatus } from '../../../src/host/files/status.ts';
import { judgeStorage, parseDevicemapper } from '../../../src/host/storage.ts';
import { findLeaks } from '../../../src/cleanup/leaks.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { spoilt, spoiltJson, toJson } from '../../support/faults/spoilt.ts';
import { numRuns, seed, expectNothingExecuted, isList, check } from './check.ts';

expectNothingExecuted();

describe('answers of the engine', () => {
  const container = {
    Id: 'a'.repeat(64),
    Names: ['/rancher-agent', '/other/alias'],
    Image: 'rancher/agent:v1',
    Command: '/run.sh inspect-host',
    Created: 1,
    State: 'exited',
    Status: 'Exited (0) 2 hours ago',
    Labels: { 'io.rancher.container.system': 'rancher-agent' },
  };
  const details = {
    Id: container.Id,
    Name: '/rancher-agent',
    Created: '2016-08-01T10:00:00Z',
    Path: '/run.sh',
    Args: ['run'],
    State: { Status: 'running', Running: true, StartedAt: '2016-08-01T10:00:00Z' },
    Config: { Image: 'rancher/agent:v1', Env: ['CATTLE_URL=http://h/v1', 'BARE'], Labels: {} },
    HostConfig: { Binds: ['/a:/b'], RestartPolicy: { Name: 'always' } },
    GraphDriver: { Data: { MergedDir: `/var/lib/docker/overlay2/${'b'.repeat(64)}/merged` } },
  };
  /** An answer that can't be understood may be an error; the engine's adapter turns it into one of ours. */
  const readOrRefuse = (read: () => unknown): boolean => {
    try {
      read();
      return true;
    } catch (error) {
      expect((error as Error).name).toMatch(/^(ValiError|SyntaxError)$/);
      return false;
    }
  };

  it('lists of containers', () => {
    const names = namesOf(selectProfile('rancher-1.2', {}));
    check(spoiltJson([container, { ...container, Names: ['/silly_name'] }]), (value) => {
      const listed = Array.isArray(value) ? value.flatMap((entry) => readSummary(entry) ?? []) : [];
      for (const { id, name } of listed) expect([typeof id, typeof name]).toEqual(['string', 'string']);
      expect(findLeaks(listed, names).length).toBeLessThanOrEqual(listed.length);
      return listed.length > 0;
    });
  });

  it('a list as it arrives, in pieces of any size', async () => {
    const text = fc.oneof(
      spoiltJson([container, { ...container, Names: ['/silly_name'] }]).map(toJson),
      spoilt(JSON.stringify([container, container]), '[]', 'null'),
    );
    const property = fc.asyncProperty(text, fc.array(fc.nat(1_500), { maxLength: 8 }), async (list, cuts) => {
      const bytes = Buffer.from(list.toWellFormed());
      const ends = [...cuts.sort((a, b) => a - b), bytes.length];
      const pieces = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
      const found: unknown[] = [];
      try {
        const limits = { element: 1_000_000, shape: summaryShape, ...skimLimits };
        for await (const { value } of elementsOf(Readable.from(pieces), limits)) found.push(value);
      } catch (error) {
        expect(isList(bytes.toString()), String(error)).toBe(false);
        return;
      }
      if (isList(bytes.toString())) expect(found).toEqual(JSON.parse(bytes.toString()));
    });
    await fc.assert(property, { numRuns, seed });
  });

  it('entries of a list that are too large: what is kept of them is what JSON.parse sees', async () => {
    const entry = spoiltJson([container, { ...container, Names: ['/other/alias', '/silly_name'] }]).map(
      toJson,
    );
    const property = fc.asyncProperty(entry, async (list) => {
      const bytes = Buffer.from(list.toWellFormed());
      const limits = { element: 0, shape: summaryShape, ...skimLimits };
      const found: unknown[] = [];
      try {
        for await (const { value } of elementsOf(Readable.from([bytes]), limits))
          found.push(readSummary(value));
      } catch (error) {
        expect(isList(bytes.toString()), String(error)).toBe(false);
        return;
      }
      if (!isList(bytes.toString())) return;
      const whole = (JSON.parse(bytes.toString()) as unknown[]).map(readSummary);
      for (const [index, summary] of whole.entries()) {
        // Where a field has a wrong type, the whole entry is no container; of a large one that field is left out.
        if (summary === undefined || toJson(summary).length > 1_000) continue;
        const { id, name, state, image, command } = summary;
        expect(found[index]).toMatchObject({ id, name, state, image, command });
      }
    });
    await fc.assert(property, { numRuns, seed });
  });

  it('containers and images', () => {
    const image = { Id: 'sha256:x', RepoTags: ['a:b'], RepoDigests: null, Config: { Labels: { a: 'b' } } };
    check(fc.oneof(spoiltJson(details), spoiltJson(image)), (value) => {
      const isDetails = readOrRefuse(() => readDetails(value));
      return readOrRefuse(() => readImage(value)) || isDetails;
    });
  });

  it('driver status', () => {
    const info = {
      OperatingSystem: 'Debian',
      Driver: 'devicemapper',
      DockerRootDir: '/var/lib/docker',
      DriverStatus: [
        ['Pool Name', 'docker-pool'],
        ['Data Space Used', '39.85 MB'],
        ['Data Space Total', '107.4 GB'],
        ['Metadata Space Used', '1.2e2 MB'],
        ['Metadata Space Available', '1.5GiB'],
        ['Data loop file', '/var/lib/docker/x'],
      ],
    };
    check(
      fc.oneof(
        spoiltJson(info).map((value) => toJson(value)),
        spoilt(JSON.stringify(info)),
      ),
      (text) => {
        return readOrRefuse(() => {
          const devicemapper = parseDevicemapper(readInfo(text).driverStatus);
          const verdict = judgeStorage(
            { driver: 'devicemapper', devicemapper, fileSystem: undefined },
            defaultLimits,
          );
          expect(['ok', 'low']).toContain(verdict.kind);
        });
      },
    );
  });
});

describe('files of the host', () => {
  it('status file', () => {
    const status = {
      version: 2,
      state: 'degraded',
      summary: 'the agent runs',
      since: '2016-08-01T10:00:00.000Z',
      updatedAt: '2016-08-01T10:00:00.000Z',
      command: 'upgrade',
      unremovable: [{ name: 'a', id: 'b', originalMessage: 'c' }],
      entrypointVersion: '0.1.0',
    };
    const texts = fc.oneof(
      spoiltJson(status).map((value) => toJson(value)),
      spoilt(JSON.stringify(status)),
    );
    check(texts, (text) => {
      const reading = parseStatus(text);
      if (reading.kind === 'damaged') expect(reading.reason).toBeTruthy();
      else expect(reading.status.version).toBe(2);
      return reading.kind === 'valid';
    });
  });

  it('agent.conf', () => {
    check(spoilt('# by hand\nexport CURL_CA_BUNDLE=/x/ca.crt\nexport B="two words"\nC=\'$d\'\n'), (text) => {
      const { variables, problems } = parseAgentConf(text);
      for (const [name, value] of Object.entries(variables)) {
        expect(name).toMatch(/^[A-Za-z_]\w*$/);
        expect(value).not.toContain('\0');
      }
      for (const problem of problems) expect(problem).toMatch(/^line \d+ /);
      return problems.length === 0;
    });
  });

  it('mounts of a process', () => {
    check(
      spoilt('36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 - ext3 /dev/root rw\n'.repeat(3)),
      (text) => {
        for (const { mountPoint } of parseMountinfo(text)) expect(typeof mountPoint).toBe('string');
        return undefined;
      },
    );
  });
});
