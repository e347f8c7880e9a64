import { gzipSync } from 'node:zlib';
import type { Behaviour } from './stub-behaviour.ts';
import { bootstrapMarker, upgradeMarker } from './stub-bootstrap.ts';

/** Printed by what the stand-in downloads and becomes: the agent itself. */
export const agentMarker = 'STUB-AGENT: started';

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

/** What the stand-in downloads: installs an "agent" that says so and stays. */
const configScript = `#!/bin/bash
mkdir -p "$CATTLE_HOME/pyagent"
cat > "$CATTLE_HOME/pyagent/apply.sh" <<'END'
#!/bin/bash
echo "${agentMarker} with $1, below $AGENT_PARENT_PID"
exec sleep 86400
END
chmod 755 "$CATTLE_HOME/pyagent/apply.sh"
`;

/** The archive of `configscripts` (control-plane §5.3): a tar of one folder, gzipped. */
export function makeConfigScripts(): Buffer {
  const content = Buffer.from(configScript);
  const padding = Buffer.alloc((512 - (content.length % 512)) % 512);
  const header = tarHeader('configscripts-1-stub/config.sh', content.length);
  return gzipSync(Buffer.concat([header, content, padding, Buffer.alloc(1024)]));
}

/** One header of the old tar format: name, mode, owner, size, time, sum and type. */
function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, '0')}\0`;
  header.write(name, 0);
  header.write(octal(0o755, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(size, 12), 124);
  header.write(octal(0, 12), 136);
  header.write(' '.repeat(8), 148);
  header.write('0', 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
