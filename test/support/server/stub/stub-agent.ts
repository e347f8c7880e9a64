/**
 * What the stand-in for the server's bootstrap script downloads (control-plane §5.3, §5.4), in our own words: the archives of
 * the configuration items, and in one of them a stand-in for the agent, which holds a real websocket.
 */
import { createHash, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { holdConnection } from './stub-bootstrap.ts';

/** Printed by what the stand-in downloads and becomes: the agent itself. */
export const agentMarker = 'STUB-AGENT: started';
/** Printed by the agent's stand-in when its websocket is open. */
export const openMarker = 'STUB-AGENT: websocket open';
/** Printed when the server has closed it; the exit status is 0. */
export const closedMarker = 'STUB-AGENT: the server closed the websocket';
/** Printed when a newer agent was installed beside it; the exit status is 1, by design. */
export const replacedMarker = 'STUB-AGENT: a newer agent was installed';
/** Name of the server's event that has the stand-in install itself again. */
export const installEvent = 'config.update';

/** What an agent that never talks to its server does. */
const simpleInstaller = `#!/bin/bash
mkdir -p "$CATTLE_HOME/pyagent"
cat > "$CATTLE_HOME/pyagent/apply.sh" <<'END'
#!/bin/bash
echo "${agentMarker} with $1, below $AGENT_PARENT_PID"
${holdConnection}exec sleep 86400
END
chmod 755 "$CATTLE_HOME/pyagent/apply.sh"
`;

/** Fetches items as archives, checks their sums, installs them and says so to the server (control-plane §5.3, \`config.sh\`). */
const itemInstaller = `#!/bin/bash
# usage: config.sh [--force] ITEM...
set -e
[ "$1" != --force ] || shift
for item; do
    work=$(mktemp -d)
    url=$CATTLE_CONFIG_URL//configcontent//$item
    curl -s -L --connect-timeout 20 -u "$CATTLE_ACCESS_KEY:$CATTLE_SECRET_KEY" "$url?current=" > "$work/archive"
    tar xzf "$work/archive" -C "$work" || { cat "$work/archive" 1>&2; exit 1; }
    for root in "$work"/*/; do
        (cd "$root" && sha1sum -c --quiet SHA1SUMS && sha1sum -c --quiet SHA1SUMSSUM)
        [ ! -f "$root/apply.sh" ] || bash "$root/apply.sh"
        curl -s -f -o /dev/null -X PUT -u "$CATTLE_ACCESS_KEY:$CATTLE_SECRET_KEY" "$url?version=$(cat "$root/version")"
    done
    rm -rf "$work"
done
`;

/** Installs the agent's stand-in, or starts it. */
const agentApply = `#!/bin/bash
set -e
if [ "$1" != start ]; then
    mkdir -p "$CATTLE_HOME/pyagent"
    cp "$(dirname "$0")"/* "$CATTLE_HOME/pyagent/"
    chmod 755 "$CATTLE_HOME"/pyagent/{apply.sh,agent}
    touch "$CATTLE_HOME/.pyagent-stamp"
    exit 0
fi
[ ! -e /var/lib/rancher/etc/agent.conf ] || source /var/lib/rancher/etc/agent.conf
echo "${agentMarker} with $1, below $AGENT_PARENT_PID"
exec "$CATTLE_HOME/pyagent/agent"
`;

/**
 * A websocket client in bash. Over TLS openssl carries the bytes. The first byte of a frame is waited for with a time-out, so
 * that the stamp is looked at twice a second; the other bytes are there at once.
 */
const agent = `#!/bin/bash
export LC_ALL=C
stamp_file=$CATTLE_HOME/.pyagent-stamp
stamp_of() { stat -c %y "$stamp_file" 2>/dev/null; }
stamp=$(stamp_of)
fail() { echo "STUB-AGENT: $1" 1>&2; exit 1; }

[[ $CATTLE_URL =~ ^(https?)://([^/:]+)(:([0-9]+))?(/.*)?$ ]] || fail "not an address: $CATTLE_URL"
scheme=\${BASH_REMATCH[1]} host=\${BASH_REMATCH[2]} port=\${BASH_REMATCH[4]} path=\${BASH_REMATCH[5]}
[ -n "$port" ] || { [ $scheme = https ] && port=443 || port=80; }
if [ $scheme = https ]; then
    [[ $host =~ ^[0-9.]+$ ]] && check=-verify_ip || check=-verify_hostname
    trust=()
    [ -z "$CURL_CA_BUNDLE" ] || trust=(-CAfile "$CURL_CA_BUNDLE")
    coproc TLS { exec openssl s_client -quiet -no_ign_eof -verify_return_error $check "$host" -connect "$host:$port" "\${trust[@]}" 2>/dev/null; }
    # Bash keeps the descriptors of a coprocess from its pipelines; copies it does not.
    exec 3<&"\${TLS[0]}" 4>&"\${TLS[1]}"
else
    exec 3<>"/dev/tcp/$host/$port" || fail "no connection to $host:$port"
    exec 4>&3
fi

keys=$(printf '%s' "$CATTLE_ACCESS_KEY:$CATTLE_SECRET_KEY" | base64 -w0)
printf '%s\\r\\n' "GET $path/subscribe?eventNames=ping HTTP/1.1" "Host: $host:$port" "Authorization: Basic $keys" \\
    'Upgrade: websocket' 'Connection: Upgrade' 'Sec-WebSocket-Version: 13' \\
    "Sec-WebSocket-Key: $(head -c 16 /dev/urandom | base64)" '' >&4
IFS= read -r -t 60 -u 3 line || fail 'no answer to the handshake'
[[ $line = 'HTTP/1.1 101 '* ]] || fail "refused: \${line%$'\\r'}"
while IFS= read -r -t 60 -u 3 line && [ "$line" != $'\\r' ]; do :; done
echo "${openMarker}"

# The decimal values of so many bytes; fewer where the connection ends.
take() { dd bs=1 count="$1" status=none <&3 | od -An -v -tu1 | tr -s ' \\n' ' '; }
# A masked frame; a mask of zeros leaves the payload as it is.
reply() {
    local bytes
    printf -v bytes '\\\\x%02x' $(( 128 | $1 )) $(( 128 | ($# - 1) )) 0 0 0 0 "\${@:2}"
    printf '%b' "$bytes" >&4
}

while :; do
    IFS= read -r -t 0.5 -N 1 -u 3 first
    result=$?
    if [ "$(stamp_of)" != "$stamp" ]; then
        echo "${replacedMarker}"
        exit 1
    fi
    [ $result -le 128 ] || continue
    if [ $result -ne 0 ]; then
        echo "${closedMarker}"
        exit 0
    fi
    opcode=$(( $(printf '%s' "$first" | od -An -tu1) & 15 ))
    length=$(take 1)
    if [ $length -eq 126 ]; then
        size=($(take 2))
        length=$(( size[0] * 256 + size[1] ))
    fi
    payload=()
    [ $length -eq 0 ] || payload=($(take $length))
    case $opcode in
    1)
        printf -v text '\\\\x%02x' "\${payload[@]}"
        if [[ $(printf '%b' "$text") = *'"name":"${installEvent}"'* ]]; then
            touch "$stamp_file"
        fi
        ;;
    8)
        reply 8 "\${payload[@]}"
        echo "${closedMarker}"
        exit 0
        ;;
    9) reply 10 "\${payload[@]}" ;;
    esac
done
`;

/** Random, so that it cannot be compressed: a download that takes its time needs some bytes. */
const ballast = randomBytes(262_144);

/** The archive of one item; undefined where the server knows no such item. @param agentRun what the agent does */
export function makeConfigArchive(item: string, agentRun: 'stays' | 'websocket'): Buffer | undefined {
  if (item === 'configscripts') {
    const script = agentRun === 'stays' ? simpleInstaller : itemInstaller;
    return packItem('configscripts', { 'config.sh': Buffer.from(script) });
  }
  if (item !== 'pyagent' || agentRun === 'stays') return undefined;
  return packItem('pyagent', { 'apply.sh': Buffer.from(agentApply), agent: Buffer.from(agent), ballast });
}

/** A gzipped tar of one folder, with version and sums as the server sends them. */
function packItem(name: string, content: Readonly<Record<string, Buffer>>): Buffer {
  const sums = Object.entries(content).map(([file, bytes]) => `${sha1(bytes)}  ${file}\n`);
  const list = Buffer.from(sums.join(''));
  const files = {
    ...content,
    version: Buffer.from('1-stub\n'),
    SHA1SUMS: list,
    SHA1SUMSSUM: Buffer.from(`${sha1(list)}  SHA1SUMS\n`),
  };
  const entries = Object.entries(files).flatMap(([file, bytes]) => [
    tarHeader(`${name}-1-stub/${file}`, bytes.length),
    bytes,
    Buffer.alloc((512 - (bytes.length % 512)) % 512),
  ]);
  return gzipSync(Buffer.concat([...entries, Buffer.alloc(1024)]));
}

function sha1(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('hex');
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
