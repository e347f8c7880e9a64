#!/bin/bash
# What an agent's entrypoint in shell must at least do, in our own words, with nothing but the plain docker commands: no
# checks, no second try, no way back. What scripts/bench compares with; no part of the product.
#
# usage: run.sh URL | upgrade | inspect-host | run
set -e

agent=rancher-agent
socket=(-v /var/run/docker.sock:/var/run/docker.sock)
state=/var/lib/rancher/state

inspect_host() {
  local token=$state/.registration_token boot2docker=false writable=false
  if mkdir -p $state; then writable=true; fi
  [ -s $token ] || openssl rand -hex 64 >$token
  if docker info 2>/dev/null | grep -qi boot2docker; then boot2docker=true; fi
  printf 'INFO: env "%s=%s"\n' TOKEN "$(cat $token)" CATTLE_BOOT2DOCKER $boot2docker CATTLE_VAR_LIB_WRITABLE $writable
}

# Takes up what a helper says that sees the folders of the host.
load_host() {
  local line
  while read -r line; do
    [[ $line == 'INFO: env "'*'"' ]] || continue
    line=${line#*\"}
    export "${line%\"}"
  done < <(docker run --rm --privileged "${socket[@]}" -v /run:/run -v /var/lib:/var/lib "$image" inspect-host)
}

replace_agent() {
  local name environment=()
  for name in "${!CATTLE_@}"; do environment+=(-e "$name"); done
  docker rm -f $agent >/dev/null 2>&1 || true
  docker run -d --name $agent --restart always --net host --pid host --privileged --oom-score-adj -500 \
    "${socket[@]}" -v /var/run/rancher/storage:/var/run/rancher/storage -v /lib/modules:/lib/modules:ro \
    -v /proc:/host/proc -v /dev:/host/dev -v rancher-cni:/.r -v rancher-agent-state:/var/lib/cattle \
    -v /var/lib/rancher:/var/lib/rancher "${environment[@]}" "$image" run
}

register() {
  local id server=(curl -fsS)
  eval "$(curl -fsS "$1")"
  load_host
  server+=(-u "$CATTLE_REGISTRATION_ACCESS_KEY:$CATTLE_REGISTRATION_SECRET_KEY")
  id=$("${server[@]}" -H 'Content-Type: application/json' -d "{\"key\":\"$TOKEN\"}" "$CATTLE_URL/register" | jq -r .id)
  until [ "$("${server[@]}" "$CATTLE_URL/register/$id" | jq -r .state)" = active ]; do sleep 0.1; done
  read -r CATTLE_ACCESS_KEY CATTLE_SECRET_KEY < <("${server[@]}" "$CATTLE_URL/register?key=$TOKEN" |
    jq -r '.data[0] | "\(.accessKey) \(.secretKey)"')
  export CATTLE_ACCESS_KEY CATTLE_SECRET_KEY
  replace_agent
}

upgrade() {
  local entry
  while read -r entry; do
    case $entry in CATTLE_*) export "${entry?}" ;; esac
  done < <(docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' $agent)
  load_host
  replace_agent
}

share() {
  nsenter --mount=/proc/1/ns/mnt -- sh -c "mkdir -p $1; mountpoint -q $1 || mount --bind $1 $1; mount --make-shared $1"
}

run() {
  docker rm -f $agent-upgrade >/dev/null 2>&1 || true
  share /var/lib/rancher/volumes
  share /var/lib/kubelet
  nsenter --mount=/proc/1/ns/mnt -- modprobe -a veth vxlan xt_nat 2>/dev/null || true
  while true; do
    curl -fsS -u "$CATTLE_ACCESS_KEY:$CATTLE_SECRET_KEY" -o /tmp/bootstrap "$CATTLE_URL/scripts/bootstrap"
    bash /tmp/bootstrap || true
    sleep 5
  done
}

case ${1-} in
  upgrade | http*) image=$(docker inspect --format '{{.Config.Image}}' "$HOSTNAME") ;;
esac
case ${1-} in
  http*) register "$1" ;;
  upgrade) upgrade ;;
  inspect-host) inspect_host ;;
  run) run ;;
esac
