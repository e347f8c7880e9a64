#!/bin/sh
# The image's health check, on the host every half minute for ever: the shell's own words only, no Node and no other
# program. A container is unhealthy only where a restart of it cures something: its process is silent, or says so itself.
# What the state of the host is does not matter here: no restart puts a failed upgrade right, or a server that is away.
# A process without a heartbeat (`upgrade`, registration, CATTLE_EXEC_AGENT) is healthy.
# src/agent/run/heartbeat.ts writes the line: seconds since the host started, seconds until stale, verdict, sentence.
file=${1:-/run/rancher-agent-entrypoint/health}
clock=${2:-/proc/uptime}
beat='' limit='' verdict='' text='' now=''
[ ! -r "$file" ] || read -r beat limit verdict text <"$file" || :
[ ! -r "$clock" ] || read -r now _ <"$clock" || :
now=${now%%.*}
for number in "$beat" "$limit" "$now"; do
  case $number in
    '' | *[!0-9]*)
      echo 'healthy: no heartbeat to go by'
      exit 0
      ;;
  esac
done
age=$((now - beat))
if [ "$age" -gt "$limit" ]; then
  echo "unhealthy: the process has been silent for $age s; a restart cures that"
  exit 1
fi
if [ "$verdict" = restart ]; then
  echo "unhealthy: $text; a restart cures that"
  exit 1
fi
echo 'healthy'
