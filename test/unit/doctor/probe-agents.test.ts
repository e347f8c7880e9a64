import { describe, expect, it } from 'vitest';
import { inspectOthers, inspectRoles, listAgents } from '../../../src/doctor/probe-agents.ts';
import { checkAgents } from '../../../src/doctor/checks/agents.ts';
import type {
  ContainerDetails,
  ContainerFilter,
  ContainerSummary,
  Engine,
} from '../../../src/engine/engine.ts';
import { EngineUnavailableError } from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { known, listed, names, now } from '../fakes/healthy-host.ts';
import { leakedDetails } from '../fakes/leaked.ts';

const socket = ['/var/run/docker.sock:/var/run/docker.sock'];
const tenant = { privileged: false, binds: [] };

interface Host {
  readonly engine: Engine;
  readonly list: readonly ContainerSummary[];
  readonly inspected: string[];
}

/** A host with these containers, the newest first, as an engine lists them. */
function hostOf(...containers: readonly Partial<ContainerDetails>[]): Host {
  const all = containers.map((parts, index) =>
    leakedDetails({
      id: String(index).padStart(64, '0'),
      command: ['/run.sh', 'run'],
      state: 'running',
      binds: socket,
      createdAt: now - (index + 1) * 60_000,
      ...parts,
    }),
  );
  const list = all.map(
    ({ id, name, image, imageId, command, state, labels, createdAt = 0, networkMode }) => ({
      ...listed({ id, name, image, imageId, command: command.join(' '), state, labels, createdAt }),
      ...(networkMode === undefined ? {} : { networkMode }),
    }),
  );
  const inspected: string[] = [];
  const engine = {
    listContainers: async (filter: ContainerFilter) =>
      Promise.resolve(list.filter(({ name }) => filter.names?.includes(name) ?? true)),
    inspectContainer: async (id: string) => {
      inspected.push(id);
      return Promise.resolve(all.find((container) => container.id === id));
    },
    inspectImage: async () => Promise.resolve({ labels: {}, repoTags: ['rancher/agent:v1.0.2'] }),
  } as unknown as Engine;
  return { engine, list, inspected };
}

describe('the agents of a host', () => {
  it('are there beside 20 newer containers of a tenant that look like agents, and each name of a role as well', async () => {
    const forged = Array.from({ length: 20 }, (_, index) => ({ name: `job${index}`, ...tenant }));
    const { engine, list, inspected } = hostOf(...forged, { name: 'rancher-agent' });
    const inRoles = await inspectRoles(engine, list, names);
    expect(inRoles.map(({ agent }) => [agent.name, agent.managed])).toEqual([['rancher-agent', true]]);
    expect(inspected).toHaveLength(1);
    expect(await inspectOthers(engine, list, names, defaultLimits)).toEqual([]);
  });

  it('under another name are found behind 20 newer containers of a tenant: the oldest are inspected first', async () => {
    const forged = Array.from({ length: 50 }, (_, index) => ({ name: `job${index}`, ...tenant }));
    const { engine, list, inspected } = hostOf(...forged, { name: 'my-agent' });
    const others = await inspectOthers(engine, list, names, defaultLimits);
    expect(others.map(({ agent }) => [agent.role, agent.name])).toEqual([['other', 'my-agent']]);
    expect(inspected).toHaveLength(defaultLimits.DOCTOR_AGENTS);
  });

  it('under another name are found beside 50 older containers of a tenant, who has not the host’s network', async () => {
    const forged = Array.from({ length: 50 }, (_, index) => ({
      ...{ name: `job${index}`, networkMode: 'bridge', createdAt: 1 + index, ...tenant },
    }));
    const { engine, list } = hostOf(...forged, { name: 'my-agent', networkMode: 'host' });
    const others = await inspectOthers(engine, list, names, defaultLimits);
    expect(others.map(({ agent }) => agent.name)).toEqual(['my-agent']);
  });

  it('has no container of a tenant among them, and nobody is told to remove one (E29)', async () => {
    const { engine, list } = hostOf(
      { name: 'shop', image: 'rancher/agent:evil', ...tenant },
      { name: 'rancher-agent' },
    );
    const all = [
      ...(await inspectRoles(engine, list, names)),
      ...(await inspectOthers(engine, list, names, defaultLimits)),
    ];
    const agents = known(all.map(({ agent }) => agent));
    const findings = checkAgents({ agents, now }, defaultLimits);
    expect(findings).toMatchObject([{ level: 'ok' }]);
    expect(JSON.stringify(findings)).not.toContain('shop');
  });

  it('shows a tenant’s container with the name of a role for what it is, and when it was created', async () => {
    const { engine } = hostOf({
      name: 'rancher-agent-previous',
      command: ['sleep', '1d\x1b[2J'],
      labels: { 'com.docker.compose.project': 'shop' },
      ...tenant,
    });
    const [found] = await listAgents(engine, names);
    expect(found).toMatchObject({ role: 'previous', managed: false });
    expect(found?.origin).toBe(
      'created 2016-07-07T23:59:00.000Z, command "sleep 1d\\x1b[2J", compose project shop',
    );
  });

  it('that do not answer an inspection are shown as what they claim to be, and nothing else is known of them', async () => {
    const { engine, list } = hostOf({ name: 'rancher-agent' });
    engine.inspectContainer = async () => Promise.reject(new EngineUnavailableError('no answer'));
    const [found] = await inspectRoles(engine, list, names);
    expect(found).toMatchObject({ agent: { managed: true, hangs: true }, environment: {} });
  });
});
