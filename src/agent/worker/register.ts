import type { Credentials } from '../../control-plane/http/message.ts';
import type { Connection } from '../../control-plane/http/connection.ts';
import {
  loadRegistrationEnvironment,
  type RegistrationEnvironment,
} from '../../control-plane/registration/environment.ts';
import { areAgentKeys } from '../../control-plane/registration/given-keys.ts';
import { remarksOnProxies } from '../../control-plane/http/proxy-remarks.ts';
import { registerHost } from '../../control-plane/registration/registration.ts';
import { describeUrl, parseServerUrl, replaceLoopback, type ServerUrl } from '../../control-plane/url.ts';
import { findHostAddress } from '../../host/address.ts';
import { readRegistrationKey } from '../../host/identity.ts';
import { plainHttpHint, remarkOnPlainHttp, requireHttps } from '../../control-plane/transport.ts';
import {
  imagesAllowedVariable,
  readHttpsRule,
  transportVariables,
  type Environment,
} from '../../support/configuration.ts';
import { buildAgentEnvironment } from '../identity/agent-spec.ts';
import { carryOver, findDropped } from '../identity/carry-over.ts';
import { environmentsOf } from '../origin/of-holder.ts';
import { keepMachineOrWarn } from '../identity/copied-machine.ts';
import { noteRegistration } from '../origin/origin.ts';
import { observeRoles } from '../transaction/observe.ts';
import type { Outcome } from '../report/outcome.ts';
import { prepareTarget, replaceAgent } from './replace-agent.ts';
import { requireFoundIdentity, requireKeptKey } from './identity-guard.ts';
import { openConnection } from '../../control-plane/open-connection.ts';
import { findStateContainer } from './state-container.ts';
import { requireOwnNames } from '../transaction/unmanaged.ts';
import { inspectForAgent, type Work } from './session.ts';
import { readOwnership } from './request.ts';

/**
 * The worker's `register`: asks the server for an agent's keys with the host's own registration key, and creates an agent
 * with those keys. A host that was registered before gets its former keys.
 *
 * @param registrationUrl as the person typed it
 * @param targetImage the image that the agent is to be created from
 */
export async function registerAgent(
  work: Work,
  registrationUrl: string,
  targetImage: string,
): Promise<Outcome> {
  const { configuration, reporter, log, secrets } = work;
  const { environment } = configuration;
  const reach = await createReach(work);
  const server = parseServerUrl(reach(registrationUrl), configuration.profile);
  secrets.add(server.token);
  const info = await work.engine.readInfo();
  const target = await prepareTarget(work, targetImage, info);
  // Before the request to the server: a host that cannot have an agent is not registered.
  const { adopt, own } = readOwnership(environment, work.container);
  const adopted = adopt ? new Set<string>() : undefined;
  const observation = await observeRoles(work.engine, work.names, () => work.clock.now(), adopted);
  requireOwnNames(observation, own);
  await findStateContainer(work.engine, work.names);
  const { agent } = observation;
  const hasKey = (await readRegistrationKey(work.paths)) !== undefined;
  requireFoundIdentity(agent?.managed === true ? agent : undefined, hasKey);
  await reporter.working(`asking ${describeUrl(server.href)}`, 'register');
  requireHttps(server.href, environment);
  const connection = await openConnection(work, server.href, { tools: false });
  const remarks = remarksOnProxies(new URL(server.href), environment, work.profile.passedEnvironment);
  for (const remark of remarks) log.warn(remark);
  const registration = await loadRegistrationEnvironment(connection, {
    server,
    reach,
    profile: configuration.profile,
    urlOverride: environment['CATTLE_URL_OVERRIDE'],
    credentials: readKeys(environment),
  });
  const risk = remarkOnPlainHttp(registration.cattleUrl, readHttpsRule(environment));
  if (risk !== undefined) log.warn(risk, { hint: plainHttpHint });
  const facts = await inspectForAgent(work, info);
  requireKeptKey(facts);
  const keys = await obtainKeys(connection, server, registration, {
    environment,
    hostKey: facts.registrationKey,
  });
  secrets.add(keys.accessKey, keys.secretKey);
  await noteRegistration(work, registration.cattleUrl, environmentsOf(observation));
  await keepMachineOrWarn(work, work.limits.KEPT_SERVER);
  const outcome = await replaceAgent(work, {
    target,
    facts,
    info,
    waitsOutBackOff: false,
    environment: withFormer(
      work,
      composeEnvironment(work, registration.cattleUrl, registration.detectedAgentIp, keys),
      environmentsOf(observation)[0],
    ),
  });
  return withRemarks(outcome, remarks);
}

/** The keys that a person gave, if they are an agent's; else those for which the host registers. */
async function obtainKeys(
  connection: Connection,
  { token }: ServerUrl,
  { cattleUrl, accessKey, secretKey }: RegistrationEnvironment,
  { environment, hostKey }: { readonly environment: Environment; readonly hostKey: string },
): Promise<Credentials> {
  const { log } = connection;
  const given = token === undefined ? undefined : readKeys(environment);
  if (given !== undefined && (await areAgentKeys(connection, cattleUrl, given))) {
    log.info(
      `this host is not registered: it uses the agent keys that were given, at ${describeUrl(cattleUrl)}`,
    );
    return given;
  }
  const keys = await registerHost(connection, { cattleUrl, credentials: { accessKey, secretKey }, hostKey });
  log.info(`this host is registered at ${describeUrl(cattleUrl)}`);
  return keys;
}

/**
 * What the server knows this host by stays, although nobody gave it again. That is also the case for an address that v1.0.x takes
 * from the server otherwise.
 */
function withFormer(work: Work, environment: Environment, former: Environment | undefined): Environment {
  const { log, profile, configuration } = work;
  const accessKey = environment['CATTLE_ACCESS_KEY'] ?? '';
  const carried = carryOver({ ...configuration.environment, CATTLE_ACCESS_KEY: accessKey }, former);
  for (const [name, value] of Object.entries(carried)) {
    log.warn(`${name} was not given again; it stays ${value}`, { hint: `-e ${name}= takes it away` });
  }
  const next = { ...environment, ...carried };
  if (former?.['CATTLE_ACCESS_KEY'] !== undefined && former['CATTLE_ACCESS_KEY'] !== accessKey) {
    log.warn('the agent before had other agent keys: for the server, this is another host from now on', {
      hint: 'delete the former host on its server, if you do not want it any more',
    });
    return next;
  }
  const kept = [...profile.passedEnvironment, ...transportVariables, imagesAllowedVariable];
  const dropped = findDropped(buildAgentEnvironment(profile, next), former, kept);
  if (dropped.length > 0) {
    log.warn(`settings of the agent before were not given again, and are gone: ${dropped.join(', ')}`, {
      hint: 'register again with them, or write them into /var/lib/rancher/etc/agent.conf',
    });
  }
  return next;
}

/** The result of the work also names a problem that the agent will meet, unless the result has a worse one. */
function withRemarks(outcome: Outcome, remarks: readonly string[]): Outcome {
  if (remarks.length === 0 || outcome.hint !== undefined) return outcome;
  return { ...outcome, hint: remarks.join('; ') };
}

/**
 * Agents v1.0.x take localhost for the machine that they run on (contract §5). Done here and not in the caller, because only
 * the worker is in the host's network.
 */
async function createReach({ profile, configuration }: Work): Promise<(url: string) => string> {
  if (profile.name !== 'rancher-1.0') return (url) => url;
  const address = await findHostAddress(configuration.limits);
  return (url) => replaceLoopback(url, address);
}

/** API keys that a person may give for servers with access control (control-plane §2.1). */
function readKeys(environment: Environment): Credentials | undefined {
  const accessKey = environment['CATTLE_ACCESS_KEY'];
  const secretKey = environment['CATTLE_SECRET_KEY'];
  return accessKey && secretKey ? { accessKey, secretKey } : undefined;
}

function composeEnvironment(
  work: Work,
  cattleUrl: string,
  detectedIp: string | undefined,
  keys: Credentials,
): Environment {
  const given = work.configuration.environment;
  const wantsDetectedIp = work.profile.exportsDetectedIp && !given['CATTLE_AGENT_IP'];
  return {
    ...given,
    CATTLE_URL: cattleUrl,
    CATTLE_ACCESS_KEY: keys.accessKey,
    CATTLE_SECRET_KEY: keys.secretKey,
    ...(wantsDetectedIp && detectedIp !== undefined ? { CATTLE_AGENT_IP: detectedIp } : {}),
  };
}
