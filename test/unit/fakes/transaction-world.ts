import type { ApplyContext } from '../../../src/agent/transaction/apply.ts';
import { findKeyHolder, observeRoles } from '../../../src/agent/transaction/observe.ts';
import { RunHistory } from '../../../src/agent/transaction/run-history.ts';
import type { Goal, Step } from '../../../src/agent/transaction/steps.ts';
import { labels } from '../../../src/agent/identity/roles.ts';
import {
  BootstrapFailsError,
  HoldError,
  NotProvenError,
  NotReadyError,
} from '../../../src/agent/transaction/not-ready.ts';
import { runTransaction, type TransactionResult } from '../../../src/agent/transaction/transaction.ts';
import type { ContainerSpec } from '../../../src/engine/engine.ts';
import { defaultLimits, type Limits } from '../../../src/support/limits/limits.ts';
import { InterruptedError, TryAgainLaterError } from '../../../src/support/errors.ts';
import { silentLog } from '../../../src/support/log.ts';
import { SimulatedHost, type SimulatedContainer, type SimulatedImage } from './simulated-host.ts';
import { SimulatedEngine, type Call, type Fault } from './simulated-engine.ts';
import {
  names,
  keys,
  forgedKeys,
  wantedDigest,
  references,
  imageOf,
  bodies,
  healthOf,
  labelsOf,
  type Actor,
  type Proof,
  type Watch,
  type SceneDescription,
} from './transaction-scene.ts';

/* The host of a scene, with checks of the invariants at every call of a transaction. */

/** How a run ended, and what the host was asked for. */
export interface Run {
  readonly result: TransactionResult | undefined;
  /** The error that was thrown; a killed process throws one, too. */
  readonly thrown: unknown;
  readonly steps: readonly Step['do'][];
  readonly calls: readonly Call[];
}

export interface RunOptions {
  readonly faultOf?: (call: Call) => Fault | undefined;
  /** SIGTERM arrives before the call of this number. */
  readonly interruptAt?: number;
  /** The lock is lost before the call of this number. */
  readonly lockLostAt?: number;
  readonly goal?: 'replace' | 'reconcile';
  readonly limits?: Partial<Limits>;
}

/** A host with a scene, and a list of all violations of an invariant. */
export class World {
  readonly host: SimulatedHost;
  readonly wanted: SimulatedImage;
  readonly violations: string[] = [];
  readonly #unmanagedContainers: ReadonlySet<string>;
  readonly #proof: Proof;
  readonly #watch: Watch;
  #keysWereSafe: boolean;
  #acting: number;

  constructor(scene: SceneDescription) {
    this.host = new SimulatedHost({
      agentName: names.agent,
      legacyNames: names.legacyAgents,
      old: scene.oldEngine,
    });
    this.wanted = {
      ...imageOf('rancher/agent:wanted', scene.canStandBy, scene.health),
      checksReadiness: scene.canStandBy && scene.proof !== undefined,
    };
    this.#proof = scene.proof ?? 'ready';
    this.#watch = scene.watch ?? 'proven';
    this.host.addImage(this.wanted);
    this.#reconcile(names.agent, scene.agent);
    this.#reconcile(names.next, scene.next);
    for (const [index, other] of (scene.otherNexts ?? []).entries())
      this.#reconcile(names.nexts[index + 1], other);
    for (const [parkedIndex, name] of names.previous.entries())
      this.#reconcile(name, scene.previous[parkedIndex]);
    this.#reconcile(names.legacyAgents[0], scene.legacy);
    this.host.clock.advance(60_000);
    // A dead container that the engine lists but cannot inspect may be removed by its labels. Nothing else of it is
    // believed.
    const mayBeRemoved = ({ body, labels: own }: SimulatedContainer): boolean =>
      scene.oldEngine && body === 'dead' && labels.role in own;
    const untouchable = this.unmanagedContainers().filter((container) => !mayBeRemoved(container));
    this.#unmanagedContainers = new Set(untouchable.map(({ id }) => id));
    this.#keysWereSafe = this.#keysAreSafe();
    this.#acting = this.acting().length;
  }

  /** Whether the wanted image can become the agent. */
  get canServe(): boolean {
    return this.wanted.health === 'good' && this.#proof === 'ready' && this.#watch === 'proven';
  }

  /** Runs one transaction as a worker would: the next agent is made from the keys found. */
  async run(options: RunOptions = {}): Promise<Run> {
    const steps: Step['do'][] = [];
    const calls: Call[] = [];
    const interrupt = new AbortController();
    const engine = new SimulatedEngine(this.host, {
      faultOf: (call) => {
        this.#checkReplacement(call);
        if (call.number === options.interruptAt) interrupt.abort(new InterruptedError('SIGTERM'));
        if (call.number === options.lockLostAt) interrupt.abort(new TryAgainLaterError('the lock was lost'));
        return options.faultOf?.(call);
      },
      afterCall: (call) => {
        calls.push(call);
        this.#check(call);
      },
    });
    try {
      const result = await runTransaction({
        engine,
        names,
        limits: { ...defaultLimits, ...options.limits },
        clock: this.host.clock,
        log: silentLog,
        goal: this.goal(options.goal ?? 'replace'),
        nextSpec: await this.#specOfNext(),
        onStep: async (step) => {
          steps.push(step.do);
          return Promise.resolve();
        },
        awaitReady: async () => {
          await this.host.clock.sleep(2_000, interrupt.signal);
          if (this.#proof !== 'ready') throw new proofErrors[this.#proof]('ready-curl-tls', 'not ready');
          return undefined;
        },
        watchBootstrap: async () => {
          await this.host.clock.sleep(5_000, interrupt.signal);
          if (this.#watch === 'fails') throw new BootstrapFailsError('the bootstrap fails');
          return this.#watch;
        },
        interrupted: interrupt.signal,
      });
      return { result, thrown: undefined, steps, calls };
    } catch (error) {
      return { result: undefined, thrown: error, steps, calls };
    }
  }

  reboot(): void {
    this.host.reboot();
    this.#acting = this.acting().length;
    if (this.#keysWereSafe && !this.#keysAreSafe()) this.violations.push('a reboot lost the keys');
  }

  goal(kind: 'replace' | 'reconcile'): Goal {
    if (kind === 'reconcile') return { kind };
    const { id: imageId, canStandBy, checksReadiness = false } = this.wanted;
    return { kind, digest: wantedDigest, imageId, canStandBy, checksReadiness };
  }

  agent(): SimulatedContainer | undefined {
    return this.host.named(names.agent);
  }

  isWanted(container: SimulatedContainer | undefined): boolean {
    return container?.labels[labels.spec] === wantedDigest && container.image.id === this.wanted.id;
  }

  unmanagedContainers(): readonly SimulatedContainer[] {
    return this.host.containers().filter((container) => !isOurs(container));
  }

  managed(): readonly SimulatedContainer[] {
    return this.host.containers().filter(isOurs);
  }

  acting(): readonly SimulatedContainer[] {
    return this.managed().filter((container) => this.host.isActive(container));
  }

  /** `name image state` of everything on the host, for messages. */
  picture(): string {
    return this.host
      .containers()
      .map(
        (container) =>
          `${container.name}=${container.image.reference}/${this.host.stateOf(container)}/${container.policy}`,
      )
      .join(' ');
  }

  async #specOfNext(): Promise<ContainerSpec> {
    const engine = new SimulatedEngine(this.host);
    const observation = await observeRoles(engine, names, () => this.host.clock.now());
    const environment = findKeyHolder(observation)?.environment ?? keys;
    return {
      image: this.wanted.reference,
      command: ['run'],
      environment: 'CATTLE_SECRET_KEY' in environment ? environment : keys,
      labels: { [labels.role]: 'agent', [labels.spec]: wantedDigest },
      restart: 'always',
      autoRemove: false,
      privileged: true,
      hostNetwork: true,
      hostPid: true,
      binds: ['/var/run/docker.sock:/var/run/docker.sock'],
    };
  }

  #reconcile(name: string | undefined, described: Actor | undefined): void {
    if (name === undefined || described === undefined) return;
    const { maker, body, removal, stoppable, policy = 'always' } = described;
    const neverRuns = maker === 'wanted' && this.wanted.health === 'start-fails';
    const startedAt = body === 'created' ? undefined : this.host.clock.now();
    const image =
      maker === 'wanted' ? this.wanted : imageOf(references[maker], maker === 'managed', healthOf(body));
    const isForged = maker === 'forged';
    this.host.add({
      name,
      image,
      labels: labelsOf(maker),
      environment: maker === 'unmanaged' ? {} : isForged ? forgedKeys : keys,
      ...(isForged || maker === 'unmanaged' ? { privileged: false, binds: [] } : {}),
      body: neverRuns && body !== 'dead' ? 'created' : bodies[body],
      startedAt,
      removal,
      policy,
      // Only a healthy process can hang: the others exit anyway.
      stoppable: stoppable || image.health !== 'good',
    });
  }

  /** Checks the invariants of docs/architecture.md after every call, whether it took effect or not. */
  #check(call: Call): void {
    if (call.verb === 'list' || call.verb === 'inspect') return;
    if (call.id !== undefined && this.#unmanagedContainers.has(call.id))
      this.#note(call, 'touches an unmanaged container');
    if (call.verb === 'create') this.#checkName(call);
    if (this.managed().some(({ environment }) => environment['CATTLE_SECRET_KEY'] === 'forged'))
      this.#note(call, 'believes the keys of a tenant');
    this.#checkKeys(call);
    this.#checkActing(call);
  }

  /** A spare name may be used only if dead or unmanaged containers have all names before it. */
  #checkName(call: Call): void {
    const isBlocked = (name: string): boolean => {
      const holder = this.host.named(name);
      return holder !== undefined && (holder.body === 'dead' || this.#unmanagedContainers.has(holder.id));
    };
    const { toName = '' } = call;
    const index = names.nexts.indexOf(toName);
    if (index >= 0 && names.nexts.slice(0, index).every(isBlocked)) return;
    this.#note(call, 'creates under another name');
  }

  #checkKeys(call: Call): void {
    const safe = this.#keysAreSafe();
    if (this.#keysWereSafe && !safe)
      this.#note(call, 'leaves no container that keeps the keys over a reboot');
    this.#keysWereSafe ||= safe;
  }

  /**
   * No call may make a second agent active. Two that were started together by a reboot may stay until the next call.
   */
  #checkActing(call: Call): void {
    const acting = this.acting().length;
    if (acting > 1 && acting > this.#acting) this.#note(call, `makes ${acting} act at once`);
    this.#acting = acting;
  }

  /**
   * Checked before a call: when an agent is stopped or removed, another container must remain that can be the agent.
   */
  #checkReplacement(call: Call): void {
    if (call.verb !== 'stop' && call.verb !== 'remove') return;
    const alive = this.managed().filter(({ body }) => body !== 'dead');
    // A rename stops a container that crashes again and again, and the host loses nothing, because it had no agent that
    // ran.
    if (call.verb === 'stop' && alive.every((each) => this.host.stateOf(each) === 'restarting')) return;
    if (alive.length === 1 && alive[0]?.id === call.id)
      this.#note(call, 'touches the last container that could be the agent');
  }

  #keysAreSafe(): boolean {
    return this.managed().some(
      ({ environment, policy, body }) =>
        environment['CATTLE_SECRET_KEY'] !== undefined && policy === 'always' && body !== 'dead',
    );
  }

  #note(call: Call, what: string): void {
    this.violations.push(
      `call ${call.number} (${call.verb} ${call.id?.slice(10, 12) ?? ''}) ${what}: ${this.picture()}`,
    );
  }
}

const proofErrors = { refused: NotReadyError, deferred: NotProvenError, held: HoldError };

/** Decided by what a tenant cannot have, and not by the function under test. */
function isOurs({ privileged, binds }: SimulatedContainer): boolean {
  return privileged && binds.some((bind) => bind.startsWith('/var/run/docker.sock:'));
}

/** What a single step is performed with in a world. */
export function stepContext({ host }: World, engine = new SimulatedEngine(host)): ApplyContext {
  return {
    engine,
    names,
    limits: defaultLimits,
    clock: host.clock,
    log: silentLog,
    interrupted: new AbortController().signal,
    history: new RunHistory(),
  };
}
