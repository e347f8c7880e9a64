import { formatDuration } from '../support/deadline.ts';
import { describeLimits } from '../support/limits/limits.ts';
import { bundleFlag, commandTable, forceFlag, offlineFlag, serverFlag } from './arguments.ts';
import { exitTable } from './exit-table.ts';
import { helpRows } from './variables.ts';
import { table } from './wrap.ts';

/**
 * The text of `--help`.
 * @param columns of the terminal
 */
export function renderHelp(version: string, columns = 80): string {
  const rows = (of: readonly (readonly [string, string])[]): readonly string[] =>
    table(of, { columns, indent: 2 });
  return [
    `rancher-agent-entrypoint ${version}: keeps exactly one agent on a host`,
    '',
    'usage: docker run … IMAGE COMMAND [--debug]',
    '',
    'commands',
    ...rows([
      ['URL', 'register this host with that URL'],
      ...Object.entries(commandTable),
      ['-- CMD ARG…', 'run that command instead'],
      ['--help, --version', ''],
    ]),
    '',
    'options',
    ...rows([
      ['--debug', 'debug log'],
      [
        forceFlag,
        "URL, register, upgrade: replace an unmanaged container that has the agent's name; it is removed last, like an old agent",
      ],
      [offlineFlag, 'upgrade: promote the new agent without asking the server whether it can serve'],
      [`${serverFlag} URL`, 'upgrade: from now on, the agent keys of this host belong to that server'],
      [
        `${bundleFlag} FILE`,
        'doctor: write what an issue report needs into a new file of this container, secrets masked',
      ],
      ['--dry-run', 'cleanup: list exactly what it would remove, and remove nothing'],
      ['--yes', 'cleanup: do not ask'],
      ['--stop-agent', 'cleanup: stop a legacy agent that leaks, and start it again afterwards'],
    ]),
    '',
    'environment',
    ...rows(helpRows()),
    '',
    'exit status',
    ...rows(exitTable.map(({ status, meaning }) => [status, meaning] as const)),
    '',
    'limits (environment; the default, and why)',
    ...rows(describeLimits().map((row) => [row.variable, `${renderValue(row.value, row.unit)}: ${row.why}`])),
    '',
  ].join('\n');
}

function renderValue(value: number, unit: string): string {
  return unit === 'ms' ? formatDuration(value) : `${value} ${unit}`;
}
