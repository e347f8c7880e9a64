import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EngineUnavailableError } from '../../../../src/support/errors.ts';
import {
  ProcessDied,
  type Health,
  type Removal,
  type SimulatedContainer,
} from '../../fakes/simulated-host.ts';
import { changingVerbs, type Fault, type Verb } from '../../fakes/simulated-engine.ts';
import {
  actor,
  names,
  type Actor,
  type Body,
  type Maker,
  type Proof,
  type SceneDescription,
  type Watch,
} from '../../fakes/transaction-scene.ts';
import { World, type Run, type RunOptions } from '../../fakes/transaction-world.ts';

const seed = Number(process.env['FC_SEED'] ?? 20_160_713);
const numRuns = Number(process.env['FC_RUNS'] ?? 15_000);

/** Whatever goes wrong, no run asks the engine more often than this, or takes more steps (seen: 249 and 30). */
const mostCalls = 300;
const mostSteps = 40;

/** What happens to one run. */
type Mishap =
  | { readonly kind: 'none' }
  | { readonly kind: 'killed'; readonly at: number; readonly effect: Fault['effect'] }
  | { readonly kind: 'once'; readonly at: number; readonly fault: Fault }
  | { readonly kind: 'for ever'; readonly verb: Verb; readonly fault: Fault }
  | { readonly kind: 'interrupted'; readonly at: number }
  | { readonly kind: 'lock lost'; readonly at: number };

interface Episode {
  readonly goal: 'replace' | 'reconcile';
  readonly mishap: Mishap;
  readonly reboots: boolean;
}

function mostly<T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> {
  const rare = others.map((value) => ({ arbitrary: fc.constant(value), weight: 1 }));
  return fc.oneof({ arbitrary: fc.constant(usual), weight: 3 * rare.length }, ...rare);
}

const removals = mostly<Removal>('works', 'dies', 'hangs');

function arbitraryActor(makers: readonly Maker[], bodies: readonly Body[]): fc.Arbitrary<Actor | undefined> {
  const described = fc.record({
    maker: fc.constantFrom(...makers),
    body: fc.constantFrom(...bodies),
    removal: removals,
    stoppable: mostly(true, false),
  });
  return fc.option(described, { nil: undefined });
}

const anyBody: readonly Body[] = ['running', 'exited', 'created', 'paused', 'dead', 'crash-looping'];
/** One created for this goal is parked only when it could not be removed. */
const park = arbitraryActor(
  ['managed', 'managed-cold', 'upstream', 'wanted', 'unmanaged', 'forged'],
  ['exited', 'running', 'dead'],
).map((described) =>
  described?.maker === 'wanted' && described.removal === 'works'
    ? { ...described, removal: 'hangs' as const }
    : described,
);

const foreign = arbitraryActor(['unmanaged', 'forged'], ['running', 'exited']);
/** Three names of a next agent may be taken, which is an obstacle; so rarely more than one. */
const foreignNext = mostly<Actor | undefined>(
  undefined,
  actor('forged', 'running'),
  actor('unmanaged', 'exited'),
);

const scenes: fc.Arbitrary<SceneDescription> = fc.record({
  oldEngine: fc.boolean(),
  canStandBy: fc.boolean(),
  proof: fc.constantFrom<Proof | undefined>(
    undefined,
    'ready',
    'ready',
    'ready',
    'refused',
    'deferred',
    'held',
  ),
  watch: mostly<Watch>('proven', 'keep-parked', 'fails'),
  health: fc.constantFrom<Health>(
    'good',
    'good',
    'start-fails',
    'exits-at-once',
    'exits-soon',
    'fails-when-active',
  ),
  agent: arbitraryActor(
    ['wanted', 'managed', 'managed-cold', 'upstream', 'upstream', 'unmanaged', 'forged'],
    anyBody,
  ),
  next: arbitraryActor(['wanted', 'wanted', 'managed', 'managed-cold', 'unmanaged', 'forged'], anyBody),
  otherNexts: fc.tuple(foreignNext, foreignNext),
  previous: fc.tuple(park, park, park, foreign, foreign),
  legacy: arbitraryActor(['upstream', 'unmanaged', 'forged'], ['running', 'exited', 'dead']),
});

const faults: fc.Arbitrary<Fault> = fc.record({
  kind: fc.constantFrom('timeout' as const, 500 as const, 400 as const),
  effect: fc.constantFrom('none' as const, 'done' as const),
});
const callNumbers = fc.integer({ min: 1, max: 60 });
const mishaps: fc.Arbitrary<Mishap> = fc.oneof(
  fc.constant<Mishap>({ kind: 'none' }),
  fc.record({
    kind: fc.constant('killed' as const),
    at: callNumbers,
    effect: fc.constantFrom('none' as const, 'done' as const),
  }),
  fc.record({ kind: fc.constant('once' as const), at: callNumbers, fault: faults }),
  fc.record({
    kind: fc.constant('for ever' as const),
    verb: fc.constantFrom<Verb>(...changingVerbs),
    fault: faults,
  }),
  fc.record({ kind: fc.constant('interrupted' as const), at: callNumbers }),
  fc.record({ kind: fc.constant('lock lost' as const), at: callNumbers }),
);
const episodes: fc.Arbitrary<Episode> = fc.record({
  goal: fc.constantFrom('replace' as const, 'replace' as const, 'reconcile' as const),
  mishap: mishaps,
  reboots: fc.boolean(),
});

function optionsFor({ goal, mishap }: Episode): RunOptions {
  switch (mishap.kind) {
    case 'none':
      return { goal };
    case 'interrupted':
      return { goal, interruptAt: mishap.at };
    case 'lock lost':
      return { goal, lockLostAt: mishap.at };
    case 'killed':
      return {
        goal,
        faultOf: ({ number }) => (number === mishap.at ? { ...mishap, kind: 'die' } : undefined),
      };
    case 'once':
      return {
        goal,
        faultOf: ({ number, verb }) => (number === mishap.at ? forVerb(verb, mishap.fault) : undefined),
      };
    case 'for ever':
      return { goal, faultOf: ({ verb }) => (verb === mishap.verb ? mishap.fault : undefined) };
  }
}

/** No engine refuses a read that it has always understood. */
function forVerb(verb: Verb, fault: Fault): Fault {
  return isRead(verb) && fault.kind === 400 ? { ...fault, kind: 500 } : fault;
}

function isRead(verb: Verb): boolean {
  return verb === 'list' || verb === 'inspect';
}

function expectInvariants(world: World): void {
  expect(world.violations).toEqual([]);
}

/** What every run that ends owes to whoever reads its result. */
function expectTruth(world: World, { result, thrown, calls, steps }: Run): void {
  expect(calls.length).toBeLessThanOrEqual(mostCalls);
  expect(steps.length).toBeLessThanOrEqual(mostSteps);
  if (result === undefined) {
    expect(thrown instanceof ProcessDied || thrown instanceof EngineUnavailableError).toBe(true);
    return;
  }
  const agent = world.agent();
  expect(result.agent?.id).toBe(agent?.id);
  expect(result.agentRuns).toBe(
    agent !== undefined && world.managed().includes(agent) && world.host.isUp(agent),
  );
  expect(result.reached).toBe(result.error === undefined);
  expect(result.error?.message ?? '').not.toContain('bound of steps');
  for (const isDead of result.unremovable) expect(world.host.named(isDead.name)?.id).toBe(isDead.id);
}

/** Whether something that no program can mend stands in the way of the wanted agent. */
function obstacleTo(world: World): string | undefined {
  const { host, wanted } = world;
  const agent = world.agent();
  const unmanagedContainers = world.unmanagedContainers().map(({ name }) => name);
  if (unmanagedContainers.includes(names.agent)) return "an unmanaged container with the agent's name";
  if (wanted.health !== 'good') return 'a bad image';
  if (!world.canServe) return 'an image that cannot serve';
  const keepsName = ({ body, removal }: SimulatedContainer): boolean =>
    removal === 'dies' || (body === 'dead' && removal !== 'works');
  const holders = [agent, host.named(names.next)].filter((holder) => holder !== undefined);
  if (host.old && agent !== undefined && keepsName(agent)) return 'a dead container that keeps its name';
  const nexts = names.nexts.map((name) => host.named(name));
  if (
    nexts.every((next) => next !== undefined && (unmanagedContainers.includes(next.name) || keepsName(next)))
  )
    return 'containers that keep all names of a next agent';
  const paused = world.managed().filter(({ body }) => body === 'paused');
  if (paused.some((container) => host.old || container !== agent || world.isWanted(agent)))
    return 'a container that a person has paused';
  const taken = names.previous.filter((name) => {
    const holder = host.named(name);
    return holder !== undefined && (unmanagedContainers.includes(name) || holder.removal !== 'works');
  });
  if (taken.length > 0) return 'a taken parked name';
  if (isPoolFull(world) && holders.some(({ removal }) => removal !== 'works')) return 'a full pool';
  if (world.managed().some(({ stoppable, body }) => !stoppable && body !== 'dead')) return 'a hung shim';
  return undefined;
}

interface Before {
  readonly obstacle: string | undefined;
  /** An agent works, nobody has paused anything, one container is sick at most, and there is room: it stays so. */
  readonly mustWork: boolean;
}

function isPoolFull(world: World): boolean {
  return names.previous.every((name) => world.host.named(name) !== undefined);
}

function workingAgents(world: World): readonly SimulatedContainer[] {
  return world.acting().filter(({ body, image }) => body === 'started' && image.health === 'good');
}

function lookAt(world: World): Before {
  const managed = world.managed();
  const hasPaused = managed.some(({ body }) => body === 'paused');
  const sick = managed.filter(({ removal, stoppable }) => removal !== 'works' || !stoppable);
  const mustWork = workingAgents(world).some(
    ({ name, image }) => !names.nexts.includes(name) && (image !== world.wanted || world.canServe),
  );
  const isHopeful = !hasPaused && sick.length <= 1 && !isPoolFull(world);
  return { obstacle: obstacleTo(world), mustWork: mustWork && isHopeful };
}

function expectConverged(world: World, before: Before, run: Run): void {
  const { obstacle } = before;
  expect(run.thrown).toBeUndefined();
  expectTruth(world, run);
  if (before.mustWork) expect(workingAgents(world), 'an agent that works').not.toEqual([]);
  const { result } = run;
  const unremovable = new Set(result?.unremovable.map(({ id }) => id));
  const agent = world.agent();
  if (obstacle !== undefined) return;
  expect(result?.reached, `${run.steps.join(' ')} ${String(result?.error?.message)}`).toBe(true);
  expect(world.isWanted(agent)).toBe(true);
  expect(agent && world.host.stateOf(agent)).toBe('running');
  expect(agent?.policy).toBe('always');
  expect(world.acting()).toEqual([agent]);
  for (const other of world.managed()) {
    if (other === agent || other.name === names.legacyAgents[0]) continue;
    expect(unremovable.has(other.id), `left over: ${other.name}`).toBe(true);
    expect(other.removal).not.toBe('works');
  }
}

describe('whatever dies, whenever, however often', () => {
  it(`an upgrade converges, and the invariants hold at every moment (seed ${seed})`, async () => {
    await fc.assert(
      fc.asyncProperty(scenes, fc.array(episodes, { maxLength: 3 }), async (scene, history) => {
        const world = new World(scene);
        const story: string[] = [world.picture()];
        try {
          for (const episode of history) {
            const run = await world.run(optionsFor(episode));
            story.push(
              `${JSON.stringify(episode)} ${run.steps.join(' ')} -> ${String(run.result?.error ?? run.thrown)}`,
              world.picture(),
            );
            expectTruth(world, run);
            if (episode.reboots) world.reboot();
            story.push(world.picture());
          }
          const before = lookAt(world);
          const run = await world.run();
          story.push(
            `last: ${run.steps.join(' ')} -> ${String(run.result?.error ?? run.thrown)}`,
            world.picture(),
          );
          expectInvariants(world);
          expectConverged(world, before, run);
        } catch (error) {
          throw new Error(`${String(error)}\n${story.join('\n')}`, { cause: error });
        }
      }),
      { seed, numRuns },
    );
  }, 120_000);
});
