import { labels, namesOf, type RoleNames } from '../../../src/agent/identity/roles.ts';
import { selectProfile } from '../../../src/agent/identity/profile.ts';
import type { RestartPolicy } from '../../../src/engine/engine.ts';
import type { Health, Removal, SimulatedContainer, SimulatedImage } from './simulated-host.ts';

/* The scenes of a transaction as data: who has created which container, and what it is like. */

export const profileName = 'pasturestack';
export const names: RoleNames = namesOf(selectProfile(profileName, {}));
export const keys = { CATTLE_ACCESS_KEY: 'access', CATTLE_SECRET_KEY: 'secret' };
export const forgedKeys = {
  CATTLE_URL: 'http://evil.example/v1',
  CATTLE_ACCESS_KEY: 'forged',
  CATTLE_SECRET_KEY: 'forged',
};
export const wantedDigest = 'digest-of-the-wanted-agent';

/**
 * Who has created a container. `wanted`: this upgrade. `managed`: an earlier one. `managed-cold`: an earlier one, from
 * an image that cannot be on standby. `upstream`: the legacy entrypoint. `unmanaged`: somebody else. `forged`: a
 * tenant, with our label and with the image and the keys of an agent, but without privileges.
 */
export type Maker = 'wanted' | 'managed' | 'managed-cold' | 'upstream' | 'unmanaged' | 'forged';
export type Body = 'running' | 'exited' | 'created' | 'paused' | 'dead' | 'crash-looping';

export interface Actor {
  readonly maker: Maker;
  readonly body: Body;
  readonly removal: Removal;
  readonly stoppable: boolean;
  /** Its restart policy; `always` unless a person has changed it. */
  readonly policy?: RestartPolicy;
}

/** The result of the proof of a next agent, and of the watch over its bootstrap. */
export type Proof = 'ready' | 'refused' | 'deferred' | 'held';
export type Watch = 'proven' | 'keep-parked' | 'fails';

export interface SceneDescription {
  /** The result of the proof of the wanted image on standby; undefined: the image proves nothing. */
  readonly proof?: Proof | undefined;
  readonly watch?: Watch;
  readonly oldEngine: boolean;
  /** Whether the wanted image can be on standby. */
  readonly canStandBy: boolean;
  readonly health: Health;
  readonly agent: Actor | undefined;
  readonly next: Actor | undefined;
  /** The containers under the spare names of a next agent. */
  readonly otherNexts?: readonly (Actor | undefined)[];
  readonly previous: readonly (Actor | undefined)[];
  readonly legacy: Actor | undefined;
}

/** A healthy actor, unless the parts say otherwise. */
export function actor(maker: Maker, body: Body, parts: Partial<Actor> = {}): Actor {
  return { maker, body, removal: body === 'dead' ? 'dies' : 'works', stoppable: true, ...parts };
}

export const emptyScene: SceneDescription = {
  oldEngine: false,
  canStandBy: true,
  health: 'good',
  agent: undefined,
  next: undefined,
  previous: [],
  legacy: undefined,
};

export const references = {
  managed: 'rancher/agent:earlier',
  'managed-cold': 'rancher/agent:v1.2.10',
  upstream: 'rancher/agent:v1.2.11',
  unmanaged: 'nginx:latest',
  forged: 'rancher/agent:evil',
} as const;

export function imageOf(reference: string, canStandBy: boolean, health: Health): SimulatedImage {
  return { reference, id: `sha256:${reference}/${health}`, canStandBy, health };
}

export const bodies = {
  running: 'started',
  'crash-looping': 'started',
  exited: 'exited',
  created: 'created',
  paused: 'paused',
  dead: 'dead',
} as const satisfies Record<Body, SimulatedContainer['body']>;

export function healthOf(body: Body): Health {
  return body === 'crash-looping' ? 'exits-at-once' : 'good';
}

export function labelsOf(maker: Maker): Readonly<Record<string, string>> {
  if (maker === 'wanted') return { [labels.role]: 'agent', [labels.spec]: wantedDigest };
  const isOurWork = maker === 'managed' || maker === 'managed-cold' || maker === 'forged';
  return isOurWork ? { [labels.role]: 'agent', [labels.spec]: 'digest-of-an-earlier-agent' } : {};
}
