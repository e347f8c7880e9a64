import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { inspectOwnContainer, ownImageOf } from '../agent/own.ts';
import { inspectHost as lookAtHost, renderInspection } from '../host/inspection.ts';
import { parseMountinfo } from '../host/mountinfo.ts';
import { ExitCode, messageOf } from '../support/errors.ts';
import { askEngineInfo, delegate, openEngine, type Context } from './context.ts';

/**
 * `inspect-host`: the host's capabilities on stdout (contract §2). Where the host's folders are mounted it looks
 * itself; otherwise it has the worker look, under its fixed name.
 * @returns the exit status
 */
export async function inspectHost(context: Context): Promise<number> {
  if (await isHostFolderMounted(context)) return inspectHostHere(context);
  const { configuration, signal } = context;
  const engine = await openEngine(context, signal);
  const image = ownImageOf(await inspectOwnContainer(engine, configuration), configuration);
  return delegate(context, engine, 'inspect-host', image);
}

/** Inspects the host from a container that has its `/var/lib/rancher`. */
export async function inspectHostHere(context: Context): Promise<number> {
  const { configuration, secrets, write } = context;
  const facts = await lookAtHost({
    paths: configuration.paths,
    operatingSystem: readOperatingSystem(context),
    // Node loads `crypto` when something of it is first used; a host that has its key needs nothing.
    randomBytes: (size) => randomBytes(size),
  });
  secrets.add(facts.registrationKey);
  for (const line of renderInspection(facts, configuration.profile)) write(`${line}\n`, 'stdout');
  return ExitCode.ok;
}

/** Upstream asked `docker info` and took silence for a no; so do we, but say it. */
async function readOperatingSystem(context: Context): Promise<string> {
  try {
    const info = await askEngineInfo(context);
    return info.text.toLowerCase().includes('boot2docker') ? 'boot2docker' : info.operatingSystem;
  } catch (error) {
    context.signal.throwIfAborted();
    context.log.warn('the engine could not be asked whether this is boot2docker; taken as no', {
      error: messageOf(error),
    });
    return '';
  }
}

/** Whether what we see under `/var/lib/rancher` is a mount and not a folder of our own image. */
async function isHostFolderMounted({ configuration }: Context): Promise<boolean> {
  const mounts = parseMountinfo(await readFile(`${configuration.paths.proc}/self/mountinfo`, 'utf8'));
  const folder = configuration.paths.rancher;
  return mounts.some(({ mountPoint }) => mountPoint !== '/' && `${folder}/`.startsWith(`${mountPoint}/`));
}
