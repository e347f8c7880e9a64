import { cleanUpHost, type CleanupOptions, type CleanupScreen } from '../cleanup/clean-up-host.ts';
import { openEngine, requireSoundConfiguration, type Context } from './context.ts';

/** The options of a command line of `cleanup`. */
export function readCleanupOptions(args: readonly string[]): CleanupOptions {
  const has = (option: string): boolean => args.includes(option);
  return { dryRun: has('--dry-run'), yes: has('--yes'), stopAgent: has('--stop-agent') };
}

/** `cleanup`: removes leaked helpers and dead managed containers (`cleanup/clean-up-host.ts`). @returns the exit status */
export async function cleanup(
  given: Context,
  options: CleanupOptions,
  screen: CleanupScreen,
): Promise<number> {
  const context = { ...given, log: screen.log };
  requireSoundConfiguration(context);
  return cleanUpHost(
    {
      ...context,
      openEngine: async (limits, signal) => {
        const configuration = { ...context.configuration, limits };
        return openEngine({ ...context, configuration }, signal, signal !== undefined);
      },
    },
    options,
    screen,
  );
}
