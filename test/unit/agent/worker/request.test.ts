import { describe, expect, it } from 'vitest';
import {
  buildWorkerSpec,
  describeCaller,
  digestOfRequest,
  readAsker,
  selectWorkerEnvironment,
  type WorkerRequest,
} from '../../../../src/agent/worker/request.ts';

const upgradeNames = ['pasturestack-node-agent-upgrade', 'rancher-agent-upgrade'];
const id = 'a'.repeat(64);
const plain = { force: false, upgradeNames };
const upgrade: WorkerRequest = {
  task: 'upgrade',
  workerImage: 'rancher/agent:v2',
  environment: { AGENT_TARGET_IMAGE: 'rancher/agent:v2' },
};

function digestWith(environment: Readonly<Record<string, string>>): string {
  return digestOfRequest({ ...upgrade, environment: { ...upgrade.environment, ...environment } });
}

describe('who asked', () => {
  it.each(upgradeNames)('the server, by the container that its script creates: %s', (name) => {
    const asked = describeCaller({ id, name, command: ['/run.sh', 'upgrade'] }, plain);
    expect(asked).toEqual({ AGENT_CALLER: id, AGENT_ASKED_BY: 'server' });
    expect(readAsker(asked)).toBe('server');
  });

  it.each([
    [
      'a container of any other name',
      { id, name: 'rancher-agent-upgrade-2', command: ['/run.sh', 'upgrade'] },
    ],
    ['docker exec in the agent itself', { id, name: 'rancher-agent', command: ['/run.sh', 'run'] }],
    ['outside of any container', undefined],
  ])('a person, from %s', (_where, own) => {
    expect(readAsker(describeCaller(own, plain))).toBe('person');
  });

  it.each([
    ['server', 'server'],
    ['automation', 'automation'],
    ['person', 'person'],
    ['SERVER', 'person'],
    ['', 'person'],
    [undefined, 'person'],
  ])('%j is read as %s', (originalMessage, asker) => {
    expect(readAsker(originalMessage === undefined ? {} : { AGENT_ASKED_BY: originalMessage })).toBe(asker);
  });
});

describe('what the caller says of itself', () => {
  it('docker exec in the agent names no caller: that container is what is to be replaced', () => {
    expect(describeCaller({ id, name: 'rancher-agent', command: ['/run.sh', 'run'] }, plain)).toEqual({});
  });

  it.each([
    [
      { force: true, offline: true },
      { AGENT_FORCE: 'true', AGENT_OFFLINE: 'true' },
    ],
    [{ force: false, offline: true }, { AGENT_OFFLINE: 'true' }],
    [{ force: true, offline: false }, { AGENT_FORCE: 'true' }],
    [{ force: false }, {}],
  ])('%j becomes %j', (words, environment) => {
    expect(describeCaller(undefined, { ...words, upgradeNames })).toEqual(environment);
  });

  it('reaches the worker of an upgrade, and no key does', () => {
    const environment = { AGENT_OFFLINE: 'true', AGENT_ASKED_BY: 'server', CATTLE_SECRET_KEY: 'secret' };
    expect(selectWorkerEnvironment(environment, 'upgrade')).toEqual({
      AGENT_OFFLINE: 'true',
      AGENT_ASKED_BY: 'server',
    });
  });
});

describe('two callers share a worker', () => {
  it('who want the same, whoever they are and whoever sent them', () => {
    expect(digestWith({ AGENT_CALLER: id, AGENT_ASKED_BY: 'server' })).toBe(digestWith({}));
    expect(digestWith({ AGENT_ASKED_BY: 'server' })).toBe(digestWith({ AGENT_ASKED_BY: 'automation' }));
  });

  it('in whatever order their settings stand', () => {
    const there = digestWith({ AGENT_FORCE: 'true', AGENT_OFFLINE: 'true' });
    expect(digestWith({ AGENT_OFFLINE: 'true', AGENT_FORCE: 'true' })).toBe(there);
  });

  it('but never when one of them wants something else', () => {
    const digests = [
      digestWith({}),
      digestWith({ AGENT_OFFLINE: 'true' }),
      digestWith({ AGENT_FORCE: 'true' }),
      digestWith({ AGENT_TARGET_IMAGE: 'rancher/agent:v3' }),
      digestOfRequest({ ...upgrade, task: 'reconcile' }),
      digestOfRequest({ ...upgrade, workerImage: 'rancher/agent:v3' }),
    ];
    expect(new Set(digests).size).toBe(digests.length);
  });

  it('the digest is a label, and gives no secret away', () => {
    const secret = 'registration-token-of-this-host';
    const request = { ...upgrade, environment: { AGENT_REGISTRATION_URL: secret } };
    expect(JSON.stringify(buildWorkerSpec(request).labels)).not.toContain(secret);
    expect(JSON.stringify(buildWorkerSpec(request).command)).not.toContain(secret);
    expect(digestOfRequest(request)).toMatch(/^[0-9a-f]{32}$/);
  });
});
