import type { CommandResult } from '../host/host.ts';
import type { ImageRegistry } from '../images/image-registry.ts';
import type { PullScene } from '../scenes/pull-scene.ts';
import { images, limits, type Scene } from '../scenes/scene.ts';

/** Short waits. The deadlines of reads are shorter than the freeze, so that they really pass during it. */
const hastyLimits = {
  VERIFY: 1_000,
  VERIFY_POLL: 500,
  STANDBY: 300,
  READY: 15_000,
  READY_POLL: 250,
  BOOTSTRAP_WATCH: 1_000,
  BOOTSTRAP_WATCH_TOTAL: 15_000,
  ATTEMPT_PAUSE_MIN: 1,
  ATTEMPT_PAUSE_MAX: 1,
  REMOVE_PAUSE_MIN: 50,
  REMOVE_PAUSE_MAX: 200,
  OBSERVE_PAUSE: 50,
  CALL_PAUSE_MAX: 200,
  FOLLOW_PAUSE_MIN: 50,
  FOLLOW_PAUSE_MAX: 200,
  STATE_PAUSE_MIN: 50,
  STATE_PAUSE_MAX: 200,
  CALL_PAUSE: 100,
  INSPECT: 12_000,
  LIST: 12_000,
  INFO: 12_000,
  LOCK_WAIT: 3_000,
  PULL_SILENCE: 12_000,
  FOLLOW_POLL: 5_000,
  STANDBY_ALONE: 2_000,
  FLAPPING_RETURNS: 100_000,
};
export const hasty = limits(hastyLimits);

/** For an agent that upgrades automatically: it does not try again within a test; its next start does. */
export const hastyAgent = limits({ ...hastyLimits, ATTEMPT_PAUSE_MIN: 120_000 });

/** How a host is upgraded. */
export interface Way {
  readonly scene: Scene;
  readonly registry?: ImageRegistry;
  /** Chooses what to upgrade to, given the image of the active agent. */
  chooseTarget(current: string | undefined): Promise<string>;
  /** @returns how the caller exited; undefined where the agent itself is the caller, because it keeps running */
  upgrade(target: string): Promise<CommandResult | undefined>;
  /** SIGKILLs the process that asked for the upgrade. */
  killCaller(): Promise<unknown>;
}

/** As the server's script does it: it starts the new image, which upgrades to itself. */
export function byScript(scene: Scene): Way {
  return {
    scene,
    chooseTarget: async (current) => Promise.resolve(current === images.a ? images.b : images.a),
    upgrade: async (target) => scene.upgrade(target, ...hasty),
    killCaller: async () => scene.host.tryDocker('kill', '-s', 'KILL', 'rancher-agent-upgrade'),
  };
}

/** As the agent does it, when its server requires an image that the host doesn't have: its worker pulls. */
export function byAgent({ scene, registry, images: [a, b] }: PullScene): Way {
  return {
    scene,
    registry,
    chooseTarget: async (current) => {
      const target = current === a ? b : a;
      await scene.host.tryDocker('rmi', target);
      return target;
    },
    upgrade: async (target) => {
      scene.server.setRequiredImage(target);
      // The agent asks the server when it starts. It may be stopped at this moment, and another one promoted.
      await scene.host.tryDocker('restart', '--time', '3', 'rancher-agent');
      return undefined;
    },
    killCaller: async () => scene.host.killProcess('rancher-agent'),
  };
}
