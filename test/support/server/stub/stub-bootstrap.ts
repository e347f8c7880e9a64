import type { Behaviour } from './stub-behaviour.ts';

/** Printed by the stub's bootstrap script when it gets past its upgrade branch. */
export const bootstrapMarker = 'STUB-BOOTSTRAP: agent would start now';

/** Printed by the stub's bootstrap script when it begins an upgrade of its own. */
export const upgradeMarker = 'STUB-BOOTSTRAP: upgrading by myself';

/** Printed by the stub's bootstrap script when it gets a signal while it waits for a command of its own. */
export const endMarker = 'STUB-BOOTSTRAP: told to end';

/**
 * A stand-in for the server's bootstrap script: the shape of control-plane §5.3 in our own words, with an upgrade
 * branch that really would remove and run containers.
 */
export function composeBootstrap(behaviour: Behaviour, image: string, clientIp: string): string {
  const run =
    behaviour.upgradeStyle === 'timeout'
      ? 'timeout 300 docker run --privileged'
      : 'docker run -d --privileged';
  return `#!/bin/bash
# Stub of the server's bootstrap script.
set -e

AGENT=rancher-agent
UPGRADE=rancher-agent-upgrade
REQUIRED_IMAGE="${image}"
DETECTED_CATTLE_AGENT_IP="${clientIp}"
export CATTLE_AGENT_IP=\${CATTLE_AGENT_IP:-$DETECTED_CATTLE_AGENT_IP}
STATE=\${CATTLE_STATE_DIR:-/var/lib/rancher/state}

current_image()
{
    docker inspect -f '{{.Config.Image}}' "$AGENT" 2>/dev/null || true
}

upgrade()
{
    local current
    if [ -z "$REQUIRED_IMAGE" ]; then
        return 0
    fi
    current=$(current_image)
    if [ "$current" = "$REQUIRED_IMAGE" ]; then
        echo "INFO: Using image $REQUIRED_IMAGE"
        return 0
    fi
    echo "${upgradeMarker} from '$current' to '$REQUIRED_IMAGE'"
    while docker inspect "$UPGRADE" >/dev/null 2>&1; do
        docker rm -f "$UPGRADE" >/dev/null 2>&1 || true
        sleep 1
    done
    ${run} --name "$UPGRADE" -v /var/run/docker.sock:/var/run/docker.sock "$REQUIRED_IMAGE" upgrade
    exit 0
}

upgrade

echo "${bootstrapMarker}"
${connected.includes(behaviour.bootstrapRun) ? holdConnection : ''}if mkdir -p "$STATE" 2>/dev/null; then
    echo "$(date) $0" >> "$STATE/bootstrap-ran" 2>/dev/null || true
fi
${endings[behaviour.bootstrapRun]}
`;
}

/** These connect before they write to the host's folder: a real agent is connected although that disk does not answer. */
const connected: readonly Behaviour['bootstrapRun'][] = ['runs-long', 'waits', 'orphans'];

/** A connection that stays open, as that of the agent's websocket; what follows inherits it. */
export const holdConnection = `if [[ $CATTLE_URL =~ ^(https?)://([^/:]+)(:([0-9]+))? ]]; then
    port=\${BASH_REMATCH[4]:-$([ \${BASH_REMATCH[1]} = https ] && echo 443 || echo 80)}
    { exec 9<>"/dev/tcp/\${BASH_REMATCH[2]}/$port"; } 2>/dev/null || true
fi
`;

const endings: Readonly<Record<Behaviour['bootstrapRun'], string>> = {
  exits: 'exit 0',
  fails: 'exit 1',
  'runs-long': 'exec sleep 86400',
  hangs: 'exec sleep 86400',
  waits: `trap 'echo "${endMarker}"; exit 0' TERM\nsleep 86400`,
  orphans: `(sleep 1 & sleep 1 & sleep 1 &)\nexec sleep 86400`,
};
