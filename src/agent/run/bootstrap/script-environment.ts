import type { Configuration, Environment } from '../../../support/configuration.ts';
import type { AgentSettings } from '../../../control-plane/open-connection.ts';

/** What the script and the agent that it becomes see (contract §5, control-plane §5.4). */
export function composeEnvironment(configuration: Configuration, settings: AgentSettings): Environment {
  const environment: Record<string, string> = {
    CATTLE_HOME: '/var/lib/cattle',
    CATTLE_CONFIG_URL: settings.cattleUrl,
    CATTLE_STORAGE_URL: settings.cattleUrl,
    ...configuration.environment,
    CATTLE_STATE_DIR: configuration.paths.state,
    CATTLE_AGENT_LOG_FILE: '/var/log/rancher/agent.log',
  };
  // From the environment it would bring the script's upgrade branch back to life.
  delete environment['REQUIRED_IMAGE'];
  return environment;
}
