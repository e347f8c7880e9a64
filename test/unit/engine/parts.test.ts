import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildCreateBody } from '../../../src/engine/create-body.ts';
import { registryOf } from '../../../src/engine/registry-auth.ts';
import type { ContainerSpec } from '../../../src/engine/engine.ts';
import { EngineError, readErrorText } from '../../../src/engine/errors.ts';
import { featuresOf, lowerVersion } from '../../../src/engine/features.ts';
import { copyLog } from '../../../src/engine/log-stream.ts';
import { followPull, pullQuery } from '../../../src/engine/pull.ts';

const spec: ContainerSpec = {
  image: 'rancher/agent:v2',
  command: ['run'],
  environment: { A: '1', B: '' },
  labels: { role: 'worker' },
  restart: 'no',
  autoRemove: true,
  privileged: true,
  hostNetwork: false,
  hostPid: true,
  binds: ['/a:/b:ro'],
  hostCgroupNamespace: true,
};

const since123 = ['pidsLimit', 'equalsInSecurityOptions'];

describe('what an engine can do', () => {
  it.each([
    ['1.22', []],
    ['1.23', ['restartUpdate', ...since123]],
    ['1.24', ['restartUpdate', ...since123]],
    ['1.25', ['restartUpdate', ...since123, 'autoRemove', 'deadInspection']],
    ['1.30', ['restartUpdate', ...since123, 'autoRemove', 'deadInspection', 'waitConditions']],
    ['1.40', ['restartUpdate', ...since123, 'autoRemove', 'deadInspection', 'waitConditions']],
    [
      '1.41',
      ['restartUpdate', ...since123, 'autoRemove', 'deadInspection', 'waitConditions', 'cgroupNamespace'],
    ],
    [
      '1.52',
      ['restartUpdate', ...since123, 'autoRemove', 'deadInspection', 'waitConditions', 'cgroupNamespace'],
    ],
    ['2.0', []],
    ['nonsense', []],
  ])('%s: %j', (api, able) => {
    const features = Object.entries(featuresOf(api)).filter(([, isAble]) => isAble);
    expect(features.map(([name]) => name).sort()).toEqual([...able].sort());
  });

  it('1.9 is lower than 1.22: versions are no decimal numbers', () => {
    expect(lowerVersion('1.9', '1.22')).toBe('1.9');
    expect(lowerVersion('1.100', '1.41')).toBe('1.41');
  });
});

describe('the body of a create', () => {
  it('for an engine of today', () => {
    expect(buildCreateBody(spec, featuresOf('1.41'))).toEqual({
      Image: 'rancher/agent:v2',
      Cmd: ['run'],
      Env: ['A=1', 'B='],
      Labels: { role: 'worker' },
      HostConfig: {
        Binds: ['/a:/b:ro'],
        Privileged: true,
        RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
        NetworkMode: 'default',
        PidMode: 'host',
        AutoRemove: true,
        CgroupnsMode: 'host',
      },
    });
  });

  it('for the engine of the incident: nothing it would ignore or refuse', () => {
    expect(buildCreateBody(spec, featuresOf('1.22'))).not.toMatchObject({ HostConfig: { AutoRemove: true } });
    expect(JSON.stringify(buildCreateBody(spec, featuresOf('1.22')))).not.toMatch(/AutoRemove|CgroupnsMode/);
  });

  it('has security options and limits as each engine takes them', () => {
    const limited: ContainerSpec = {
      ...spec,
      securityOptions: [
        ['label', 'disable'],
        ['seccomp', 'unconfined'],
      ],
      memoryBytes: 1_000,
      pidsLimit: 64,
    };
    expect(buildCreateBody(limited, featuresOf('1.23'))).toMatchObject({
      HostConfig: { SecurityOpt: ['label=disable', 'seccomp=unconfined'], Memory: 1_000, PidsLimit: 64 },
    });
    // 1.10.3 refuses an equals sign.
    expect(buildCreateBody(limited, featuresOf('1.22'))).toMatchObject({
      HostConfig: { SecurityOpt: ['label:disable', 'seccomp:unconfined'], Memory: 1_000 },
    });
    expect(JSON.stringify(buildCreateBody(limited, featuresOf('1.22')))).not.toContain('PidsLimit');
  });

  it('of an agent: restarts always, is never removed by the engine, and shares the host’s network', () => {
    const agent: ContainerSpec = {
      ...spec,
      restart: 'always',
      autoRemove: false,
      hostNetwork: true,
      oomScoreAdjust: -500,
      volumesFrom: ['state'],
    };
    expect(buildCreateBody(agent, featuresOf('1.41'))).toMatchObject({
      HostConfig: {
        RestartPolicy: { Name: 'always' },
        NetworkMode: 'host',
        OomScoreAdj: -500,
        VolumesFrom: ['state'],
      },
    });
    expect(JSON.stringify(buildCreateBody(agent, featuresOf('1.41')))).not.toContain('AutoRemove');
  });
});

describe('the engine’s words', () => {
  it.each([
    ['{"message":"no such image"}', 'no such image'],
    ['no such id: x\n', 'no such id: x'],
    ['{"other":1}', '{"other":1}'],
    ['"just a string"', '"just a string"'],
    ['  ', '(no message)'],
  ])('%j reads %j', (body, originalMessage) => {
    expect(readErrorText(body)).toBe(originalMessage);
  });

  it('are cut when a proxy sends a book', () => {
    expect(readErrorText('x'.repeat(10_000)).length).toBeLessThanOrEqual(2_000);
    expect(readErrorText(JSON.stringify({ message: 'x'.repeat(10_000) })).length).toBeLessThanOrEqual(2_000);
  });

  it('an answer that should not have come is garbled, not a refusal', () => {
    expect(new EngineError('create', 201, 'oops').kind).toBe('garbled');
  });
});

describe('an image’s reference', () => {
  it.each([
    ['rancher/agent', 'rancher/agent', 'latest'],
    ['rancher/agent:v1.2.11', 'rancher/agent', 'v1.2.11'],
    ['localhost:5000/rancher/agent', 'localhost:5000/rancher/agent', 'latest'],
    ['localhost:5000/rancher/agent:v1', 'localhost:5000/rancher/agent', 'v1'],
    ['rancher/agent@sha256:0123', 'rancher/agent', 'sha256:0123'],
    ['localhost:5000/rancher/agent@sha256:0123', 'localhost:5000/rancher/agent', 'sha256:0123'],
    ['rancher/agent:v1@sha256:0123', 'rancher/agent', 'sha256:0123'],
  ])('%s is pulled from %s, %s', (reference, fromImage, tag) => {
    expect(pullQuery(reference)).toEqual({ fromImage, tag });
  });
});

describe('a pull’s progress', () => {
  const follow = async (chunks: readonly (string | Buffer)[]): Promise<string[]> => {
    const told: string[] = [];
    await followPull(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), {
      reference: 'rancher/agent:v2',
      silenceMs: 1_000,
      onProgress: (line) => told.push(line),
    });
    return told;
  };
  const lines = [
    { status: 'Pulling from rancher/agent' },
    { status: 'Größe', id: 'a' },
    { status: 'Downloading', progress: '[=>]' },
    { status: 'Done' },
  ];
  const stream = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\r\n`).join(''));

  it('is the same however the bytes are split, letters of two bytes included', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(stream.length), { maxLength: 12 }), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), stream.length];
        const chunks = at.slice(1).map((end, index) => stream.subarray(at[index], end));
        expect(await follow(chunks)).toEqual(['Pulling from rancher/agent', 'Größe', 'Done']);
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  it('an error line is a failure, with the registry’s words and status', async () => {
    const line = JSON.stringify({ errorDetail: { code: 404, message: 'x' }, error: 'manifest unknown' });
    await expect(follow(['{"status":"Pulling"}\n', line])).rejects.toMatchObject({
      originalMessage: 'manifest unknown',
      kind: 'not-found',
    });
    await expect(follow(['{"error":"toomanyrequests"}\n'])).rejects.toMatchObject({ kind: 'failed' });
  });

  it.each(['<html>', 'null', '[]', '42', '""'])(
    'a line that is no progress (%s) is harmless',
    async (line) => {
      expect(await follow([`${line}\n{"status":"Done"}\n`])).toEqual(['Done']);
    },
  );

  it('one that says nothing for too long is stuck', async () => {
    const hung = new Readable({ read: () => undefined });
    const pulling = followPull(hung, { reference: 'a', silenceMs: 30, onProgress: () => undefined });
    await expect(pulling).rejects.toThrow(/no answer within 30 ms/);
    expect(hung.destroyed).toBe(true);
  });
});

describe('a container’s log', () => {
  const frame = (stream: number, words: Buffer): Buffer => {
    const header = Buffer.alloc(8);
    header[0] = stream;
    header.writeUInt32BE(words.length, 4);
    return Buffer.concat([header, words]);
  };
  const copy = async (chunks: readonly Buffer[]): Promise<Buffer> => {
    const copied: Buffer[] = [];
    await copyLog(Readable.from(chunks), (chunk) => copied.push(chunk));
    return Buffer.concat(copied);
  };

  it('is copied whole, however frames and chunks fall', async () => {
    const words = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    await fc.assert(
      fc.asyncProperty(
        fc.array(words, { maxLength: 6 }),
        fc.array(fc.nat(2_000), { maxLength: 12 }),
        async (parts, cuts) => {
          const bytes = Buffer.concat(parts.map((part, index) => frame(1 + (index % 2), part)));
          const at = [
            0,
            ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b),
            bytes.length,
          ];
          const chunks = at
            .slice(1)
            .map((end, index) => bytes.subarray(at[index], end))
            .filter(({ length }) => length > 0);
          expect(await copy(chunks)).toEqual(Buffer.concat(parts));
        },
      ),
      { seed: 1, numRuns: 300 },
    );
  });

  it('tells what went to stdout from what went to stderr', async () => {
    const told: string[] = [];
    const chunks = [
      frame(1, Buffer.from('TOKEN=1')),
      frame(2, Buffer.from('INFO: x')),
      Buffer.from('a terminal'),
    ];
    for (const chunk of chunks) {
      await copyLog(Readable.from([chunk]), (words, stream) => told.push(`${stream} ${words.toString()}`));
    }
    expect(told).toEqual(['stdout TOKEN=1', 'stderr INFO: x', 'stdout a terminal']);
  });

  it('without frames (a container with a terminal) is copied as it is', async () => {
    expect((await copy([Buffer.from('INFO: plain text\n')])).toString()).toBe('INFO: plain text\n');
  });

  it('the last line is not lost when the stream ends in the middle of a frame', async () => {
    const bytes = frame(2, Buffer.from('ERROR: the last words'));
    expect((await copy([bytes.subarray(0, bytes.length - 6)])).toString()).toBe('ERROR: the last');
  });

  it('short text without frames is not lost either', async () => {
    expect((await copy([Buffer.from('hi\n')])).toString()).toBe('hi\n');
  });

  it('is copied as it comes: a frame that never ends is not kept', async () => {
    const header = frame(1, Buffer.alloc(0));
    header.writeUInt32BE(2 ** 20, 4);
    const sizes: number[] = [];
    const pieces = [header, ...Array.from({ length: 200 }, () => Buffer.alloc(4_000, 'x'))];
    await copyLog(Readable.from(pieces), (words) => sizes.push(words.length));
    expect(sizes).toEqual(Array.from({ length: 200 }, () => 4_000));
  });

  it('with a terminal, whose text looks like the header of an endless frame, is copied as it is', async () => {
    const forged = Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    const pieces = [forged, ...Array.from({ length: 2_000 }, () => Buffer.alloc(16_384, 'x'))];
    const begun = performance.now();
    let copied = 0;
    await copyLog(Readable.from(pieces), (words) => (copied += words.length));
    expect(copied).toBe(2_000 * 16_384);
    expect(performance.now() - begun).toBeLessThan(2_000);
  });
});

describe('the registry of an image', () => {
  it.each([
    ['rancher/agent', 'index.docker.io'],
    ['agent', 'index.docker.io'],
    ['docker.io/rancher/agent', 'index.docker.io'],
    ['registry.example/agent', 'registry.example'],
    ['registry:5000/agent', 'registry:5000'],
    ['localhost/agent', 'localhost'],
    // An engine asks the host EVIL: Docker Hub's credentials must not go there.
    ['EVIL/agent', 'EVIL'],
    ['eviL/agent', 'eviL'],
    ['Agent', 'index.docker.io'],
  ])('%s is %s', (reference, registry) => {
    expect(registryOf(reference)).toBe(registry);
  });
});
