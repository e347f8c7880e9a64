import type { ProfileName } from '../../../support/configuration.ts';

/** What the server's script calls while REQUIRED_IMAGE is blank (control-plane §5.3 and §8), as far as an image brings it. */
export interface ScriptPrograms {
  /** Without one of these no run of the script starts an agent. */
  readonly always: readonly string[];
  /** Some servers call these, or only something that the agent does later. */
  readonly sometimes: readonly string[];
}

/** Of `bootstrap.sh`: it exits at the first one that is missing (`set -e`). */
const bootstrap = ['bash', 'curl', 'tar', 'gzip', 'grep', 'dirname', 'mktemp', 'mkdir', 'rm', 'cat'];
/** Of `config.sh`, which it downloads and runs; `flock` and the digest are called for every item. */
const configuration = ['flock', 'basename', 'ls', 'mv', 'chmod'];
/**
 * `update-ca-certificates` and `/usr/share/ca-certificates` came with Rancher 0.180. `nsenter`, `mount`, `modprobe`, `jq` and
 * `openssl` are called by parts of the agent, or by the legacy entrypoint. The docker client and `timeout` only by the upgrade
 * branch, which never runs here.
 */
const later = ['update-ca-certificates', 'nsenter', 'mount', 'modprobe'];

const ofRancher: ScriptPrograms = {
  always: [...bootstrap, ...configuration, 'sha1sum'],
  sometimes: later,
};

/** By profile. */
export const scriptPrograms: Readonly<Record<ProfileName, ScriptPrograms>> = {
  'rancher-1.0': ofRancher,
  'rancher-1.2': ofRancher,
  pasturestack: { always: [...bootstrap, ...configuration, 'sha256sum'], sometimes: later },
};
