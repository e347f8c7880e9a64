# shellcheck shell=bash
# What a script needs before it can work: Debian's packages, npm's packages, and the pinned Node. To be sourced by a bash
# script that stands in the project's folder. Quiet, and quick where nothing is missing.
#
#   setup node      the pinned Node and npm's packages
#   setup image     the same, and what builds the image
#   setup tests     the same, and what the tests need
#   setup engine    the same, for somebody who can start a private Docker engine: root
#   install_packages node|image|tests|vm    Debian's packages alone
#   run_with node|image|tests|engine COMMAND…    prepares the machine, and becomes that command
#   answer_help "$@"    prints the help and exits if that is what the first argument asks for
#   show_help       prints the comment at the top of the script: that is its help
#   fail STATUS MESSAGE
#
# Afterwards `node` is the pinned one, and the commands of npm's packages are found by name. Installs are done one after
# another, however many scripts ask for them. No service is started, no package is removed, no running engine is touched.
#
# status: 0 ready, 69 something cannot be installed (here), 77 only root can do it. Why: in one line on standard error.

# A checkout without .git, unpacked inside another repository, is not part of that one.
GIT_CEILING_DIRECTORIES=$(dirname "$(pwd -P)")
export GIT_CEILING_DIRECTORIES

show_help() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; }

answer_help() {
  case ${1-} in -h | --help) show_help; exit 0 ;; esac
}

complain() { echo "${0##*/}: $*" >&2; }

fail() {
  local status=$1
  shift
  complain "$@"
  exit "$status"
}

run_with() {
  setup "$1" || exit
  shift
  exec "$@"
}

setup() {
  local folder=''
  require_system || return
  if [ "$1" = engine ] && [ "$(id -u)" != 0 ]; then
    complain "only root can start a private Docker engine; try: sudo $0"
    return 77
  fi
  install_packages "$1" || return
  keep_npm_settings
  folder=node_modules/node-linux-$(node_arch)
  with_lock .cache/setup.lock install_modules "$folder" || return
  # The folder of the package, not its link in node_modules/.bin: Debian's npm creates none.
  export PATH="$PWD/$folder/bin:$PWD/node_modules/.bin:$PATH"
}

# npm looks for the machine's settings (a registry, a proxy, an authority) beside the Node that it runs on. On the pinned one it
# would find none.
keep_npm_settings() {
  [ -z "${NPM_CONFIG_GLOBALCONFIG-}" ] || return 0
  NPM_CONFIG_GLOBALCONFIG=$(npm config get globalconfig 2>/dev/null) || return 0
  export NPM_CONFIG_GLOBALCONFIG
}

# As npm calls the processor.
node_arch() {
  case $(uname -m) in
    x86_64 | amd64) echo x64 ;;
    aarch64 | arm64) echo arm64 ;;
  esac
}

require_system() {
  if [ "$(uname -s)" != Linux ] || [ -z "$(node_arch)" ]; then
    complain "needs Linux on x86_64 or aarch64, and this is $(uname -s) on $(uname -m)"
    return 69
  fi
}

system_name() { sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\).*/\1/p' /etc/os-release 2>/dev/null || uname -s; }

# Runs a function while nobody else holds the lock, in a shell of its own.
with_lock() {
  local lock=$1
  shift
  mkdir -p "$(dirname "$lock")" || return 69
  (
    if ! flock -w 900 9; then
      complain "another script has held $lock for 15 minutes; wait for it, or end it"
      exit 69
    fi
    "$@"
  ) 9>"$lock"
}

# A command, or the path of a file, and the packages that bring it. Where two names are given with a bar between them, the
# first one that Debian has counts: the docker client is in docker.io until Debian 12, in docker-cli since.
packages_node=('npm:npm,ca-certificates')
packages_image=(
  docker:'docker-cli|docker.io'
  git:git
  /usr/bin/jq:jq
  /usr/bin/openssl:openssl
  /usr/bin/strip:binutils
  /usr/bin/aarch64-linux-gnu-strip:binutils-aarch64-linux-gnu
  /usr/bin/x86_64-linux-gnu-strip:binutils-x86-64-linux-gnu
  /usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring
  /usr/sbin/debootstrap:debootstrap
)
packages_tests=(
  /usr/sbin/dockerd:docker.io
  /usr/bin/docker:'docker-cli|docker.io'
  /usr/bin/tini:tini
  /usr/bin/busybox:busybox-static
  /usr/bin/ps:procps
  /usr/bin/curl:curl
  /usr/bin/unshare:util-linux
  /usr/sbin/iptables:iptables
  /usr/bin/ip:iproute2
  /usr/sbin/modprobe:kmod
  /usr/sbin/mkfs.ext4:e2fsprogs
  /usr/bin/chattr:e2fsprogs
  /usr/bin/bindfs:bindfs
  /usr/bin/tinyproxy:tinyproxy-bin
  /usr/sbin/nginx:nginx
  /usr/bin/musl-gcc:musl-tools
  /usr/bin/gcc:gcc
  /usr/bin/make:make
  /usr/bin/gpg:gpg
  /usr/bin/gpg-agent:gpg-agent
  /usr/bin/gpgv:gpgv
  /usr/bin/xz:xz-utils
  /usr/bin/docker-registry:docker-registry
)
packages_vm=(
  /usr/bin/qemu-system-x86_64:qemu-system-x86
  /usr/bin/ssh:openssh-client
  /usr/bin/cpio:cpio
  /usr/bin/busybox:busybox-static
)

missing_packages() {
  local requirement wanted=("${packages_node[@]}")
  case $1 in image | tests | engine | vm) wanted+=("${packages_image[@]}") ;; esac
  case $1 in tests | engine | vm) wanted+=("${packages_tests[@]}") ;; esac
  case $1 in vm) wanted+=("${packages_vm[@]}") ;; esac
  for requirement in "${wanted[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${requirement%%:*}" >/dev/null || [ -e "${requirement%%:*}" ] || echo "${requirement#*:}"
  done | tr , '\n' | sort -u
}

install_packages() {
  local missing
  missing=$(missing_packages "$1" | paste -sd ' ')
  [ -n "$missing" ] || return 0
  if ! command -v apt-get >/dev/null; then
    complain "installs packages of Debian 12 and 13 only, and this is $(system_name); install these yourself: $missing"
    return 69
  elif [ "$(id -u)" != 0 ]; then
    complain "missing: $missing; run once, as root: scripts/fixtures/install-prerequisites"
    return 77
  fi
  with_lock /run/rancher-agent-entrypoint.lock install_missing "$1"
}

# Runs in a shell of its own; no other one runs it on this machine at the same time.
install_missing() {
  local log guard=/usr/sbin/policy-rc.d kept='' missing
  missing=$(missing_packages "$1" | paste -sd ' ')
  [ -n "$missing" ] || return 0
  log=$(mktemp) || return 69
  # docker.io would start its service, and with it an engine nobody asked for. policy-rc.d forbids that; one that is
  # already there belongs to somebody else and is put back.
  if [ -e "$guard" ]; then kept=$(mktemp "$guard.XXXXXX") && mv "$guard" "$kept" || return 69; fi
  # shellcheck disable=SC2064 # the names are fixed now
  trap "rm -f '$log' '$guard'; [ -z '$kept' ] || mv '$kept' '$guard'" EXIT
  printf '#!/bin/sh\nexit 101\n' >"$guard" && chmod 755 "$guard" || return 69
  complain "installing $missing"
  # The package lists of a fresh machine are empty or old: refresh them only if the first try fails.
  if ! apt_install "$1" >"$log" 2>&1; then
    apt-get update -qq </dev/null >"$log" 2>&1 || true
    if ! apt_install "$1" >>"$log" 2>&1; then
      cat "$log" >&2
      complain "could not install $missing on $(system_name); tried on Debian 12 and 13"
      return 69
    fi
  fi
}

# Never at the price of another package: a docker-ce that is here stays.
apt_install() {
  local packages=() package
  while read -r package; do
    if [ -n "$(apt-cache show "${package%|*}" 2>/dev/null)" ]; then package=${package%|*}; else package=${package#*|}; fi
    packages+=("$package")
  done < <(missing_packages "$1")
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-remove --no-install-recommends "${packages[@]}" </dev/null &&
    [ -z "$(missing_packages "$1")" ]
}

# Whether node_modules holds what package-lock.json names, for this machine. npm leaves out a package for this machine,
# and says nothing, if its own Node was too old for it.
modules_are_current='
  const read = (file) => JSON.parse(require("fs").readFileSync(file, "utf8")).packages;
  const wanted = read("package-lock.json"), present = read("node_modules/.package-lock.json");
  const isOurs = ({ os, cpu, libc = ["glibc"] }) =>
    os?.includes("linux") && cpu?.includes(process.arch) && libc.includes("glibc");
  const isRight = ([name, entry]) =>
    present[name] ? present[name].integrity === entry.integrity : name === "" || (entry.optional && !isOurs(entry));
  const isCurrent = Object.entries(wanted).every(isRight) && Object.keys(present).every((name) => wanted[name]);
  process.exit(isCurrent ? 0 : 1);'

# shellcheck disable=SC2016 # a template of JavaScript's
# What npm needs to install one package of the lock file alone. Not as an optional one: where npm cannot fetch that, it reports
# success, and removes the folder with its log.
single_package='
  const fs = require("fs"), [, name, folder] = process.argv;
  const entry = JSON.parse(fs.readFileSync("package-lock.json", "utf8")).packages[`node_modules/${name}`];
  delete entry.optional;
  const root = { name: "setup", version: "0.0.0", dependencies: { [name]: entry.version } };
  const lock = { ...root, lockfileVersion: 3, requires: true, packages: { "": root, [`node_modules/${name}`]: entry } };
  fs.writeFileSync(`${folder}/package.json`, JSON.stringify(root));
  fs.writeFileSync(`${folder}/package-lock.json`, JSON.stringify(lock));'

# npm leaves out what its own Node is too old for, and Debian's is: the pinned Node comes first, then npm runs on that.
install_modules() {
  local folder=$1 work
  if "$folder/bin/node" -e "$modules_are_current" 2>/dev/null; then return 0; fi
  if [ -L node_modules ]; then
    complain "$PWD/node_modules is a link, to packages of another package-lock.json; remove the link, or run npm ci there"
    return 69
  fi
  work=$(mktemp -d .cache/setup.XXXXXX) || return 69
  # shellcheck disable=SC2064 # the folder's name is fixed now
  trap "rm -rf '$PWD/$work'" EXIT
  complain "installing npm's packages"
  cp .npmrc "$work/.npmrc"
  if ! { node -e "$single_package" "${folder#*/}" "$work" && (cd "$work" && npm_ci --ignore-scripts) &&
    PATH="$PWD/$work/$folder/bin:$PATH" NODE_OPTIONS="${NODE_OPTIONS-} --disable-warning=DEP0169" npm_ci; } >"$work/log" 2>&1; then
    cat "$work/log" >&2
    complain "npm ci failed: the reason is above; it needs the npm registry"
    return 69
  fi
  if ! "$folder/bin/node" -e "$modules_are_current" 2>/dev/null; then
    complain "npm ci left packages out; $folder/bin/node and package-lock.json do not agree with node_modules"
    return 69
  fi
}

# All of it, whatever this machine's settings leave out.
npm_ci() { npm ci --include=dev --include=optional --no-progress --loglevel=error "$@"; }
