import type { RegistrationRow } from './switch-table.ts';

/** Requests as the rows write them: a repeated request has its count. */
export function composeRequests(endpoints: readonly string[]): string {
  const groups: { name: string; count: number }[] = [];
  for (const name of endpoints) {
    const last = groups.at(-1);
    if (last?.name === name) last.count++;
    else groups.push({ name, count: 1 });
  }
  return groups.map(({ name, count }) => (count === 1 ? name : `${name}×${count}`)).join(', ');
}

/** Whether the requests that arrived are those of a row; `name+` stands for one or more of it. */
export function areRequestsOf(row: Pick<RegistrationRow, 'requests'>, endpoints: readonly string[]): boolean {
  const names = row.requests === '' ? [] : row.requests.split(', ');
  const pattern = names.map((each) => {
    const [, name = '', count] = /^(.*?)(\+|×\d+)?$/.exec(each) ?? [];
    if (count === '+') return `(${name},)+`;
    return `(${name},){${count === undefined ? '1' : count.slice(1)}}`;
  });
  return new RegExp(`^${pattern.join('')}$`).test(endpoints.map((name) => `${name},`).join(''));
}
