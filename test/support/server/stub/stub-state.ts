import { createHash } from 'node:crypto';
import type { Behaviour } from './stub-behaviour.ts';

export interface AgentKeys {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** A registration as the stub keeps it. */
export interface StubRegistration extends AgentKeys {
  readonly id: string;
  readonly key: string;
  state: 'activating' | 'active' | 'removing' | 'removed' | 'error';
  pollsLeft: number;
  /** Milliseconds since 1970. */
  readonly begunAt: number;
}

/** Everything the stub remembers. */
export interface StubState {
  readonly behaviour: Behaviour;
  readonly token: string;
  readonly registrations: StubRegistration[];
  /** Agents that exist: those that registered and those the test began with. */
  readonly agents: AgentKeys[];
  readonly account: AgentKeys | undefined;
  /** Bodies of `POST externalhostevents` and `publish`. */
  readonly events: unknown[];
  registrationTokenPolls: number | undefined;
  bootstrapCount: number;
  nextId: number;
}

/** Keys that depend on the host's registration key alone, so that a stub that is restarted knows its agents again. */
export function deriveKeys(hostKey: string): AgentKeys {
  const digest = createHash('sha256').update(hostKey).digest('hex');
  return { accessKey: digest.slice(0, 20).toUpperCase(), secretKey: `s${digest.slice(20, 59)}` };
}

/** Adds a registration in the state that the behaviour asks for. */
export function addRegistration(
  state: StubState,
  key: string,
  first: Partial<StubRegistration> = {},
): StubRegistration {
  const registration: StubRegistration = {
    id: `1go${state.nextId++}`,
    key,
    state: 'activating',
    pollsLeft: state.behaviour.polls,
    begunAt: Date.now(),
    ...deriveKeys(key),
    ...first,
  };
  state.registrations.push(registration);
  if (registration.state === 'active') addAgent(state, registration);
  return registration;
}

/** Moves a registration on by one poll. */
export function advance(state: StubState, registration: StubRegistration): void {
  const { register } = state.behaviour;
  if (registration.state === 'removing') {
    registration.state = 'removed';
    return;
  }
  if (registration.state !== 'activating' || register === 'never') return;
  if (register === 'error') {
    registration.state = 'error';
    return;
  }
  if (register === 'vanishing') {
    registration.state = 'removed';
    state.behaviour.register = 'ok';
    return;
  }
  if (registration.pollsLeft-- > 0 || Date.now() - registration.begunAt < state.behaviour.registerMs) return;
  registration.state = 'active';
  addAgent(state, registration);
}

function addAgent(state: StubState, { accessKey, secretKey }: AgentKeys): void {
  if (state.agents.every((agent) => agent.accessKey !== accessKey))
    state.agents.push({ accessKey, secretKey });
}
