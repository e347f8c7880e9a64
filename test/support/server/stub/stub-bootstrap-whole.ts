import type { Behaviour } from './stub-behaviour.ts';
import { bootstrapMarker, upgradeMarker } from './stub-bootstrap.ts';

/**
 * A stand-in for the whole of the server's bootstrap script, step by step as control-plane §5.3 describes it, in our own
 * words; `pasturestack` with the differences of §8. Its upgrade branch really removes and runs containers.
 */
export function composeWholeBootstrap(
  { bootstrapShape, upgradeStyle }: Pick<Behaviour, 'bootstrapShape' | 'upgradeStyle'>,
  image: string,
  clientIp: string,
): string {
  const isPasture = bootstrapShape === 'pasturestack';
  const agents = isPasture ? 'pasturestack-node-agent rancher-agent' : 'rancher-agent';
  const upgrades = isPasture
    ? 'pasturestack-node-agent-upgrade rancher-agent-upgrade'
    : 'rancher-agent-upgrade';
  const start = upgradeStyle === 'timeout' ? 'timeout 300 docker run' : 'docker run -d';
  return `#!/bin/bash
set -e

REQUIRED_IMAGE="${image}"
DETECTED_CATTLE_AGENT_IP="${clientIp}"
export CATTLE_AGENT_IP=\${CATTLE_AGENT_IP:-$DETECTED_CATTLE_AGENT_IP}
export CATTLE_HOME=\${CATTLE_HOME:-/var/lib/cattle}
AGENTS="${agents}"
UPGRADES="${upgrades}"
AUTHORITY="stand-in for the PEM of the server's authority"

finish()
{
    local status=$?
    [ -z "$DOWNLOAD" ] || rm -rf "$DOWNLOAD"
    exit $status
}
trap finish EXIT SIGINT SIGTERM

if [[ "$0" = /tmp/* ]]; then
    rm -f "$0"
fi
cd "$(dirname "$0")"

for conf in /etc/cattle/agent/bootstrap.conf "$CATTLE_HOME/etc/cattle/agent/bootstrap.conf" /var/lib/rancher/etc/agent.conf; do
    [ ! -e "$conf" ] || source "$conf"
done

while [ $# -gt 0 ]; do
    case "$1" in
    --port) export HOST_API_PORT=$2; shift ;;
    --ip) export CATTLE_AGENT_IP=$2; shift ;;
    --read-env) eval "$(cat)" ;;
    esac
    shift
done

for name in $AGENTS; do
    [ -n "$RANCHER_AGENT_IMAGE_FOUND" ] || RANCHER_AGENT_IMAGE_FOUND=$(docker inspect -f '{{.Config.Image}}' "$name" 2>/dev/null || true)
done

upgrade_if_required()
{
    [ -n "$REQUIRED_IMAGE" ] || return 0
    [ "$RANCHER_AGENT_IMAGE_FOUND" != "$REQUIRED_IMAGE" ] || return 0
${isPasture ? legacyExemption : ''}    echo "${upgradeMarker} from '$RANCHER_AGENT_IMAGE_FOUND' to '$REQUIRED_IMAGE'"
    for name in $UPGRADES; do
        while docker inspect "$name" >/dev/null 2>&1; do
            docker rm -f "$name" >/dev/null 2>&1 || true
            sleep 1
        done
    done
    ${start} --privileged --name \${UPGRADES%% *} -v /var/run/docker.sock:/var/run/docker.sock "$REQUIRED_IMAGE" upgrade
    exit 0
}
upgrade_if_required

trust_authority()
{
    mkdir -p /usr/share/ca-certificates/rancher
    echo "$AUTHORITY" > /usr/share/ca-certificates/rancher/agent-ca.crt
    grep -q rancher/agent-ca.crt /etc/ca-certificates.conf 2>/dev/null || echo rancher/agent-ca.crt >> /etc/ca-certificates.conf
}
trust_authority
echo "${bootstrapMarker}"

download_agent()
{
    DOWNLOAD=$(mktemp -d)
    curl --retry 5 -s ${isPasture ? '-f --connect-timeout 10 --max-time 300 ' : ''}-u "$CATTLE_ACCESS_KEY:$CATTLE_SECRET_KEY" "$CATTLE_CONFIG_URL/configcontent/configscripts" > "$DOWNLOAD/content"
    tar xzf "$DOWNLOAD/content" -C "$DOWNLOAD" || { cat "$DOWNLOAD/content" 1>&2; exit 1; }
    bash "$DOWNLOAD"/*/config.sh --force configscripts pyagent
}
download_agent

export AGENT_PARENT_PID=$PPID
${
  isPasture
    ? `home=\${PASTURESTACK_HOME:-$CATTLE_HOME}
[ ! -x "$home/node-agent/apply.sh" ] || exec "$home/node-agent/apply.sh" start`
    : ''
}
exec "$CATTLE_HOME/pyagent/apply.sh" start
`;
}

const legacyExemption = `    case "$RANCHER_AGENT_IMAGE_FOUND" in
    rancher/agent:* | docker.io/rancher/agent:*) return 0 ;;
    esac
`;
