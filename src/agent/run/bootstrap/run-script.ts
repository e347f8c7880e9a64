import { caFileOf } from '../../../control-plane/open-connection.ts';
import { pythonBundleOf, trustInPythonAgent } from '../../../control-plane/python-bundle.ts';
import { describeUrl } from '../../../control-plane/url.ts';
import type { Environment } from '../../../support/configuration.ts';
import type { ChildExit, StagedScript } from './child.ts';
import type { AgentSettings } from '../../../control-plane/open-connection.ts';
import { keepAsking } from './ask-meanwhile.ts';
import { isByDesign } from './exit-by-design.ts';
import { scriptsOf, type BootstrapLoop } from './loop-parts.ts';
import type { Turn } from './pace.ts';
import { watchConnection } from './watch-connection.ts';
import { composeEnvironment } from './script-environment.ts';

/** Runs a staged script until it exits, and removes it. Never returns with `CATTLE_EXEC_AGENT`. */
export async function runStaged(
  loop: BootstrapLoop,
  settings: AgentSettings,
  script: StagedScript,
): Promise<Turn> {
  const environment = composeEnvironment(loop.configuration, settings);
  try {
    await extendPythonBundle(loop, environment);
    if (environment['CATTLE_EXEC_AGENT'] === 'true') return await leaveTo(loop, script, environment);
    loop.log.info(`running the bootstrap of ${describeUrl(settings.cattleUrl)}`);
    return { kind: 'ran', ms: await observeRun(loop, settings, script, environment) };
  } finally {
    await script.dispose();
  }
}

/** Agents v1.0.x are Python programs, with certificates of their own. They download them in their first run. */
async function extendPythonBundle(
  { profile, configuration, log }: BootstrapLoop,
  environment: Environment,
): Promise<void> {
  const { CATTLE_HOME: cattleHome } = environment;
  if (profile.name !== 'rancher-1.0' || cattleHome === undefined) return;
  await trustInPythonAgent({
    log,
    bundle: pythonBundleOf(cattleHome),
    caFile: caFileOf(configuration.paths),
    deadlineMs: configuration.limits.TRUST_PATIENCE,
  });
}

const unknownExit: ChildExit = { status: null, signal: null };

/** @returns how long it ran, in ms */
async function observeRun(
  loop: BootstrapLoop,
  settings: AgentSettings,
  script: StagedScript,
  environment: Environment,
): Promise<number> {
  const { clock, configuration, log, serving } = loop;
  const { limits } = configuration;
  const scripts = scriptsOf(loop);
  const stampsBefore = scripts.readStamps(environment, limits);
  const begun = clock.elapsed();
  const exited = new AbortController();
  let exit = unknownExit;
  let ms = 0;
  serving?.began();
  void keepAsking(loop, settings, exited.signal);
  try {
    exit = await scripts.run(script.file, environment, {
      ...{ limits, clock, signal: loop.signal },
      onStart: (pid) => void watchConnection(loop, { pid, environment, exited: exited.signal }),
    });
  } finally {
    ms = clock.elapsed() - begun;
    const at = clock.now();
    exited.abort();
    const stamps = {
      stampsBefore: await stampsBefore,
      stampsAfter: await scripts.readStamps(environment, limits),
    };
    serving?.exited({ ...exit, ms, byDesign: isByDesign({ exit, ms, at, ...stamps }, limits) });
  }
  log.info(
    'the bootstrap has exited',
    exit.signal === null ? { status: exit.status } : { signal: exit.signal },
  );
  return ms;
}

/** Nothing of this process comes after that: whatever the host still needs of it comes first. */
async function leaveTo(loop: BootstrapLoop, script: StagedScript, environment: Environment): Promise<never> {
  await loop.concludeWork();
  loop.signal.throwIfAborted();
  const message = 'CATTLE_EXEC_AGENT: the bootstrap takes the place of this process';
  loop.log.info(message);
  loop.serving?.becameUnknown('serving-unknown', message);
  return scriptsOf(loop).become(script.file, environment);
}
