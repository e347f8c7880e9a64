import { isRancherFolderMounted } from '../host/mounts/rancher-folder.ts';
import { EngineUnavailableError, ExitCode, messageOf } from '../support/errors.ts';
import { askEngineInfo, openEngine, type Context } from './context.ts';

/**
 * `inspect-host`: the host's capabilities on stdout (contract §2). Where the host's folders are mounted it looks
 * itself; otherwise it has the worker look, under its fixed name. The engine is asked first: nothing else takes as long.
 * @returns the exit status
 */
export async function inspectHost(context: Context): Promise<number> {
  const asking = new AbortController();
  const operatingSystem = readOperatingSystem(context, AbortSignal.any([context.signal, asking.signal]));
  operatingSystem.catch(() => undefined);
  if (await isRancherFolderMounted(context.configuration.paths)) return tellFacts(context, operatingSystem);
  asking.abort(new Error('the worker asks for itself'));
  const { configuration, signal } = context;
  const { inspectOwnContainer, ownImageOf } = await import('../agent/identity/self.ts');
  const engine = await openEngine(context, signal);
  const own = await inspectOwnContainer(engine, configuration);
  const workerImage = ownImageOf(own, configuration);
  const { delegate } = await import('../agent/worker/delegate.ts');
  const { hostOf } = await import('../agent/host.ts');
  let printed = 0;
  const write: Context['write'] = (chunk, stream) => {
    if (stream === 'stdout') printed += chunk.length;
    context.write(chunk, stream);
  };
  const status = await delegate(
    { ...hostOf(context, engine), write },
    { task: 'inspect-host', workerImage, own },
  );
  // Whoever asked would go on with nothing.
  if (status === ExitCode.ok && printed === 0) {
    throw new EngineUnavailableError(
      'the worker has inspected the host, and its output did not arrive here',
      {
        hint: 'start this command with -v /var/lib/rancher:/var/lib/rancher: then it needs no worker',
      },
    );
  }
  return status;
}

/** Inspects the host from a container that has its `/var/lib/rancher`. */
export async function inspectHostHere(context: Context): Promise<number> {
  return tellFacts(context, readOperatingSystem(context, context.signal));
}

async function tellFacts(context: Context, operatingSystem: Promise<string>): Promise<number> {
  const { configuration, secrets, write } = context;
  const { inspectHost: lookAtHost, renderInspection } = await import('../host/inspection.ts');
  const facts = await lookAtHost({
    paths: configuration.paths,
    operatingSystem,
    // The global of the same name: the module `crypto` takes 4 ms to load, and a host that has its key needs nothing.
    randomBytes: (size) => Buffer.from(crypto.getRandomValues(new Uint8Array(size))),
  });
  secrets.add(facts.registrationKey);
  for (const line of renderInspection(facts, configuration.profile)) write(`${line}\n`, 'stdout');
  return ExitCode.ok;
}

/** Upstream asked `docker info` and took silence for a no; so do we, but say it. @throws the signal's reason */
async function readOperatingSystem(context: Context, signal: AbortSignal): Promise<string> {
  try {
    const info = await askEngineInfo(context, signal);
    return info.text.toLowerCase().includes('boot2docker') ? 'boot2docker' : info.operatingSystem;
  } catch (error) {
    signal.throwIfAborted();
    context.log.warn('the engine could not be asked whether this is boot2docker; taken as no', {
      error: messageOf(error),
    });
    return '';
  }
}
