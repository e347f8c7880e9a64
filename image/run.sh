#!/bin/sh
# Launcher of the agent's entrypoint. Node comes with its own loader and C library, so that it runs on a base image with
# an older libc or none; they are named on the command line and not in the environment, because the agent's own children
# must run with the base image's libraries.
home=/usr/lib/rancher-agent-entrypoint
first=${1-} second=${2-}
set -- "$home/lib/ld.so" --inhibit-cache --library-path "$home/lib" \
  "$home/bin/node" --max-old-space-size=128 --max-semi-space-size=2 "$home/main.mjs" "$@"

# An agent lives in the host's pid namespace, where the orphans of the server's script are somebody else's to reap. One
# that was started without it is process 1: Node reaps only its own children, a shell that waits reaps all.
if [ "$$" = 1 ] && { [ "$first" = run ] || [ "$first:$second" = --debug:run ]; }; then
  "$@" &
  child=$!
  trap 'kill -TERM "$child"' TERM
  trap 'kill -INT "$child"' INT
  while :; do
    wait "$child"
    status=$?
    kill -0 "$child" 2>/dev/null || exit "$status"
  done
fi
exec "$@"
