#!/bin/sh
# Launcher of the agent's entrypoint. Node comes with its own loader and C library, so that it runs on a base image with
# an older libc or none; they are named on the command line and not in the environment, because the agent's own children
# must run with the base image's libraries.
home=/usr/lib/rancher-agent-entrypoint
exec "$home/lib/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$home/lib" \
  "$home/bin/node" --max-old-space-size=128 --max-semi-space-size=2 \
  "$home/main.mjs" "$@"
