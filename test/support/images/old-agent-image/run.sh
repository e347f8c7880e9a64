#!/bin/bash
# As in the incident: a helper whose client is to remove it (API below 1.25), and the client is killed first.
case $1 in
  run)
    # An engine may speak nothing newer than 1.22.
    newest=$(curl -s --unix-socket /var/run/docker.sock http://engine/version | jq -r .ApiVersion)
    api=$(printf '1.24\n%s\n' "$newest" | sort -V | head -n 1)
    while :; do
      DOCKER_API_VERSION=$api docker run --rm --privileged -v /run:/run -v /var/lib:/var/lib "$AGENT_IMAGE" inspect-host &
      sleep 0.6
      kill -9 $!
      sleep 0.4
    done
    ;;
  inspect-host) sleep 0.5 ;;
esac
