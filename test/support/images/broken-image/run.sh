#!/bin/sh
if [ "$1" = run ]; then
  echo 'broken on purpose' >&2
  exit 3
fi
exec /run.working.sh "$@"
