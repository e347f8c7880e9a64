import { fixedLimits } from '../../support/limits/fixed.ts';
import type { Shape, SkimLimits } from './skimmer.ts';

/*
 * What is kept of an answer that is too large, and of every entry of a list. Whoever may create a container decides how many
 * labels, variables, ports and names it has, and how long they are.
 */

/**
 * The labels that the program reads in a list, and no others are kept: a host may have thousands of containers with thousands
 * of labels each. An inspection and a list by id show all labels.
 */
export const listedLabels: readonly string[] = [
  'io.rancher.container.system',
  'io.rancher.agent-entrypoint.role',
  'io.rancher.agent-entrypoint.spec',
  'io.rancher.agent-entrypoint.request',
  'io.rancher.agent-entrypoint.names',
  'io.rancher.agent-entrypoint.version',
  'io.rancher.agent-entrypoint.readiness',
  'io.rancher.agent-entrypoint.former-restart',
  'io.rancher.agent-entrypoint.replaces',
];

/** A list names a container by its own name and by other containers' link aliases (`/other/alias`). */
export function isOwnName(name: string): boolean {
  return !name.slice(1).includes('/');
}

export const skimLimits: SkimLimits = {
  text: fixedLimits.SKIMMED_TEXT,
  texts: fixedLimits.SKIMMED_TEXTS,
  depth: fixedLimits.SKIMMED_DEPTH,
};

/** An entry of the answer of `GET /containers/json`: nothing is missing that `readSummary` takes, but labels. */
export const summaryShape: Shape = {
  members: {
    ...kept('Id', 'Image', 'ImageID', 'Command', 'Created', 'State', 'Status'),
    Names: { texts: isOwnName },
    HostConfig: { members: kept('NetworkMode') },
    Labels: { members: kept(...listedLabels) },
  },
};

/**
 * The answer of `GET /containers/{id}/json`, without what proves that a container is managed: labels, binds, environment,
 * arguments. A part of these would mislead.
 */
export const detailsShape: Shape = {
  members: {
    ...kept('Id', 'Name', 'Image', 'Created', 'Driver', 'Path', 'RestartCount'),
    State: {
      members: kept('Status', 'Running', 'Dead', 'ExitCode', 'Pid', 'Error', 'StartedAt', 'FinishedAt'),
    },
    Config: { members: kept('Image') },
    HostConfig: { members: { RestartPolicy: { members: kept('Name') } } },
    GraphDriver: { members: { Data: { members: kept('MergedDir', 'UpperDir', 'DeviceName', 'Dataset') } } },
  },
};

/** The answer of `GET /images/{name}/json`, without labels and environment. */
export const imageShape: Shape = {
  members: { ...kept('Id'), RepoTags: { texts: () => true }, RepoDigests: { texts: () => true } },
};

function kept(...names: readonly string[]): Readonly<Record<string, Shape>> {
  return Object.fromEntries(names.map((name) => [name, 'keep']));
}
