#!/bin/sh
# Launcher of the agent's entrypoint. Node comes with its own loader and C library, so that it runs on a base image with
# an older libc or none; they are named on the command line and not in the environment, because the agent's own children
# must run with the base image's libraries.
home=/usr/lib/rancher-agent-entrypoint
# What each one gives: docs/development/footprint.md. No flags of V8 but sizes: with any other it compiles all of Node's own modules,
# which only cleanup can afford. SIGUSR1 opens Node's debugger on a port of the host, for every user of it: never.
node_flags='--disable-sigusr1 --max-old-space-size=128 --min-semi-space-size=2 --max-semi-space-size=2 --v8-pool-size=1'
first=${1-} second=${2-}
# Thousands of answers, and over in a minute: room, not thrift; and the cores are the engine's, not those of V8's helpers.
[ "$first" != cleanup ] || node_flags='--disable-sigusr1 --max-old-space-size=128 --min-semi-space-size=16 --max-semi-space-size=16 --single-threaded'

# `-- CMD` needs no Node. What is no program is left to it, which says so.
is_program() {
  case $1 in
    */*) [ -f "$1" ] && [ -x "$1" ] ;;
    *)
      rest=${PATH-}:
      while [ -n "$rest" ]; do
        folder=${rest%%:*} rest=${rest#*:}
        if [ -n "$folder" ] && [ -f "$folder/$1" ] && [ -x "$folder/$1" ]; then return 0; fi
      done
      return 1
      ;;
  esac
}
if [ "$first" = -- ] && is_program "$second"; then
  shift
  exec "$@"
fi

# shellcheck disable=SC2086 # several words
set -- "$home/lib/ld.so" --inhibit-cache --library-path "$home/lib" \
  "$home/bin/node" $node_flags "$home/main.cjs" "$@"

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
