import type { RoleNames } from './roles.ts';

/** The roles that a name can stand for, as people are told. */
export type RoleTitle =
  | 'agent'
  | 'legacy agent'
  | 'next'
  | 'previous'
  | 'worker'
  | 'dead worker'
  | 'agent-restarter'
  | 'upgrade'
  | 'state';

/** Every role with the names that stand for it, the active agent first. */
export function roleTable(names: RoleNames): readonly (readonly [RoleTitle, readonly string[]])[] {
  return [
    ['agent', [names.agent]],
    ['legacy agent', names.legacyAgents],
    ['next', [names.next, names.nextSpare]],
    ['previous', names.previous],
    ['worker', [names.worker]],
    ['dead worker', [names.deadWorker]],
    ['agent-restarter', [names.restarter]],
    ['upgrade', names.upgrades],
    ['state', names.state === undefined ? [] : [names.state]],
  ];
}

/** The role that a container has by its name; undefined for everybody else's. */
export function titleOf(name: string, names: RoleNames): RoleTitle | undefined {
  return roleTable(names).find(([, roleNames]) => roleNames.includes(name))?.[0];
}
