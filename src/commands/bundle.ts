import { open, rm, type FileHandle } from 'node:fs/promises';
import { release } from 'node:os';
import { collectSections } from '../doctor/bundle/collect-sections.ts';
import { renderBundle, type Section } from '../doctor/bundle/render.ts';
import type { Diagnosis } from '../doctor/diagnosis.ts';
import { buildStatusReport } from '../doctor/status-report.ts';
import { withDeadline } from '../support/deadline.ts';
import { CannotChangeError, messageOf, systemCodeOf } from '../support/errors.ts';
import type { Context } from './context.ts';
import { connectPatiently, examine, type Examination } from './doctor.ts';

/** Root's alone: addresses and names of a network are nobody else's business. */
const mode = 0o600;

/**
 * `doctor --bundle FILE`: checks this host, and writes what an issue report needs into one new file, with every secret masked. The
 * file is created before the host is checked, so that nobody waits in vain.
 * @param file as this container sees it
 * @param renderScreen the doctor's screen
 * @throws CannotChangeError when the file exists or cannot be written; then there is no file
 */
export async function writeBundle(
  context: Context,
  file: string,
  renderScreen: (diagnosis: Diagnosis) => string,
): Promise<Diagnosis> {
  const handle = await createFile(file);
  try {
    const examination = await examine(context);
    const text = await composeBundle(context, examination, renderScreen);
    await fill(context, handle, text);
    context.log.info(`the support bundle is in ${file}: read it before you attach it to a report`, {
      bytes: Buffer.byteLength(text),
    });
    return examination.diagnosis;
  } catch (error) {
    await rm(file, { force: true }).catch(() => undefined);
    throw systemCodeOf(error) === undefined ? error : cannotWrite(file, error);
  } finally {
    await handle.close().catch(() => undefined);
  }
}

async function composeBundle(
  context: Context,
  { snapshot, diagnosis }: Examination,
  renderScreen: (diagnosis: Diagnosis) => string,
): Promise<string> {
  const { configuration, version, secrets, clock } = context;
  const { limits } = configuration;
  const collected = await collectSections(
    {
      ...context,
      connect: async () =>
        connectPatiently(context, {
          LOG_TAIL_LINES: limits.BUNDLE_LOG_LINES,
          LOG_TAIL: limits.BUNDLE_LOG,
          ENGINE_CONNECT: limits.BUNDLE_LOG,
        }),
    },
    snapshot,
  );
  const introduction =
    `rancher-agent-entrypoint ${version} (profile ${configuration.profile}), Linux ${release()}, ` +
    `${new Date(clock.now()).toISOString()}\n` +
    'Keys, tokens and passwords that this program knows are masked: ***. Addresses, names of hosts and images are not.\n' +
    'What the server’s own agent wrote to its log is here as well. Read this file before you attach it to a report.\n';
  const own: readonly Section[] = [
    { title: 'doctor', content: renderScreen(diagnosis), keep: 'begin' },
    { title: 'status --json', content: buildStatusReport(snapshot, limits), keep: 'begin' },
    { title: 'doctor --json', content: diagnosis, keep: 'begin' },
  ];
  return renderBundle(introduction, [...own, ...collected], secrets, limits);
}

async function createFile(file: string): Promise<FileHandle> {
  try {
    // Never through a link, and never over a file.
    return await open(file, 'wx', mode);
  } catch (error) {
    throw cannotWrite(file, error);
  }
}

async function fill({ configuration, signal }: Context, handle: FileHandle, text: string): Promise<void> {
  await withDeadline(
    'write the support bundle',
    configuration.limits.HOST_FILE,
    async () => {
      await handle.chmod(mode);
      await handle.writeFile(text);
      await handle.sync();
    },
    signal,
  );
}

function cannotWrite(file: string, error: unknown): CannotChangeError {
  const exists = systemCodeOf(error) === 'EEXIST';
  return new CannotChangeError(
    exists ? `${file} exists, and a support bundle overwrites nothing` : `cannot write ${file}`,
    {
      ...(exists ? {} : { originalMessage: messageOf(error), cause: error }),
      hint: exists
        ? 'give the name of a new file'
        : 'the file is one of this container: mount a folder of the host, -v "$PWD":/out, and give --bundle /out/bundle.txt',
    },
  );
}
