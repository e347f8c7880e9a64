import { readHostSetting } from '../../control-plane/agent-conf.ts';
import type { RegistryAuth } from '../../engine/registry-auth.ts';
import { dockerConfigFolder, readRegistryCredentials } from '../../host/registry-credentials.ts';
import type { Host } from '../host.ts';
import type { Configuration } from '../../support/configuration.ts';

/** What is needed to find a login. */
export interface LoginSearch extends Pick<Host, 'log' | 'secrets'> {
  readonly configuration: Pick<Configuration, 'paths' | 'environment'>;
}

/**
 * The credentials for the image's registry, in the `config.json` below `DOCKER_CONFIG`. The line in `agent.conf` counts before the
 * environment, whoever asked for the upgrade: a legacy agent passes no variable on, and a person forgets it.
 */
export async function findLogin(search: LoginSearch, targetImage: string): Promise<RegistryAuth | undefined> {
  const { secrets, log } = search;
  const { auth, problem } = await readRegistryCredentials(await findFolder(search), targetImage);
  if (problem !== undefined) log.warn(problem);
  secrets.add(auth?.password, auth?.identitytoken, auth?.registrytoken);
  return auth;
}

async function findFolder({ configuration, log }: LoginSearch): Promise<string> {
  const { paths, environment } = configuration;
  const name = 'DOCKER_CONFIG';
  const setting = await readHostSetting(`${paths.rancher}/etc/agent.conf`, name);
  if (setting.kind === 'unclear')
    log.warn(`agent.conf: ${name} is not known, so logins of registries may be missing: ${setting.problem}`);
  return dockerConfigFolder(
    setting.kind === 'value' ? { ...environment, [name]: setting.value } : environment,
  );
}
