#!/bin/bash
# The old way, in our own words: what an agent's entrypoint did at the time of the incident, as far as that made it leak.
# Known flaws are there on purpose. For scripts/replay and its test; no part of the product.
#
# usage: run.sh run | upgrade | inspect-host
#   OLD_WAY_PAUSE   seconds between two bootstraps (default 5)
set -e

agent=rancher-agent
socket=(-v /var/run/docker.sock:/var/run/docker.sock)
# Flaw: the folders above the Docker root, which pins the mounts of everybody else.
host_folders=(-v /run:/run -v /var/lib:/var/lib)

# Flaw: no end, no pause, no word.
delete_container() {
  while docker inspect "$1" >/dev/null 2>&1; do
    docker rm -f "$1" >/dev/null 2>&1 || true
  done
}

# Flaw: a name that the engine makes up, and removal by the client, which may be killed before it comes to that. This is
# what `docker run --rm` was before Docker 1.13; since then it is the engine that removes, hence step by step.
run_helper() {
  local id_file id
  id_file=$(mktemp -u)
  docker run --cidfile "$id_file" --privileged "${host_folders[@]}" "$@"
  id=$(cat "$id_file")
  docker wait "$id" >/dev/null
  docker inspect --format '{{.State.ExitCode}}' "$id" >/dev/null
  docker rm "$id" >/dev/null
}

# Asks the engine what it is, once for every line that it wants to print.
print_engine() {
  local _
  for _ in 1 2 3 4; do docker version >/dev/null; done
  docker info >/dev/null 2>&1
}

inspect_host() {
  mkdir -p /var/lib/rancher/state
  echo 'INFO: env "CATTLE_VAR_LIB_WRITABLE=true"'
}

# Flaw: the old agent goes before the new one is there, and with it the only copy of the keys.
upgrade() {
  local image entry environment=()
  image=$(docker inspect --format '{{.Config.Image}}' "$HOSTNAME")
  while read -r entry; do
    case $entry in CATTLE_* | OLD_WAY_*) environment+=(-e "$entry") ;; esac
  done < <(docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$agent")
  print_engine
  run_helper "$image" inspect-host
  delete_container "$agent"
  docker run -d --name "$agent" --restart always --net host --pid host --privileged "${socket[@]}" \
    -v /var/lib/rancher:/var/lib/rancher "${environment[@]}" "$image" run
}

# Flaw: the script that is run here starts the upgrade and ends; the next turn, five seconds later, kills it.
run() {
  delete_container rancher-agent-upgrade
  while true; do
    if curl -fsS -u "$CATTLE_ACCESS_KEY:$CATTLE_SECRET_KEY" -o /tmp/bootstrap "$CATTLE_URL/scripts/bootstrap"; then
      bash /tmp/bootstrap || true
    fi
    sleep "${OLD_WAY_PAUSE:-5}"
  done
}

case ${1-} in
  run) run ;;
  upgrade) upgrade ;;
  inspect-host) inspect_host ;;
esac
