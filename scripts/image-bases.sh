#!/usr/bin/env bash
# Stand-ins for the public base images that the Dockerfile names, for machines that reach no image registry: made from this
# machine's Debian archive and toolchains, under the names the Dockerfile uses. Wants DOCKER_HOST. Made once per version.
#
# How this machine reaches the outside (its certificates, proxies, registries) is baked in here and nowhere else, so that
# the Dockerfile stays what it is everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
export DOCKER_BUILDKIT=1
docker=/usr/bin/docker

say() { printf 'image-bases: %s\n' "$*"; }
fail() { say "$@" >&2; exit 1; }
# the Dockerfile's ARG of that name
wanted() { sed -n "s/^ARG $1=//p" Dockerfile | head -n 1; }
# the version in an image's name: 1.26.8 in golang:1.26.8-bookworm
version() { local tag=${1#*:}; printf '%s' "${tag%%-*}"; }

stamp=$(sha256sum scripts/image-bases.sh | cut -c 1-16)
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
is_made() { [[ $($docker image inspect --format '{{index .Config.Labels "lab.stand-in"}}' "$1" 2>/dev/null) == "$stamp" ]]; }

debian=$(wanted DEBIAN)
make_debian() {
  local archive name changes=()
  # shellcheck disable=SC2016
  archive=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "bookworm" { print $2; exit }')
  [[ $archive ]] || fail "this machine's apt knows no archive of bookworm: is it Debian 12?"
  timeout 400 debootstrap --variant=minbase bookworm "$work/debian" "$archive" >"$work/log" || fail "debootstrap failed: $(tail "$work/log")"
  [[ $(<"$work/debian/etc/debian_version") == "$(version "$debian")" ]] ||
    say "the archive has Debian $(<"$work/debian/etc/debian_version") now, and the Dockerfile names $debian"
  rm -rf "$work"/debian/var/cache/apt/archives/*.deb "$work"/debian/var/lib/apt/lists/* "$work"/debian/usr/share/{doc,man,locale}/*
  # what the machine's own certificates and registries are
  local file files=()
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources /etc/apt/apt.conf.d/99* /etc/pip.conf \
    /usr/local/share/ca-certificates /etc/ssl/certs/ca-certificates.crt; do
    [[ ! -e $file ]] || files+=("${file#/}")
  done
  tar --create --directory / "${files[@]}" | tar --extract --directory "$work/debian"
  for name in SSL_CERT_FILE PIP_CERT PIP_INDEX_URL NODE_EXTRA_CA_CERTS CARGO_HTTP_CAINFO REQUESTS_CA_BUNDLE GOPROXY GOSUMDB \
    npm_config_registry HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    [[ ! ${!name:-} ]] || changes+=(--change "ENV $name=${!name}")
  done
  tar --create --numeric-owner --one-file-system --directory "$work/debian" . |
    $docker import "${changes[@]}" --change "LABEL lab.stand-in=$stamp" --change 'CMD ["bash"]' - "$debian" >/dev/null
}

# from_folder IMAGE FOLDER TARGET [LINES]: the Debian stand-in with FOLDER at TARGET, after the Dockerfile's LINES.
from_folder() {
  printf 'FROM %s\nLABEL lab.stand-in=%s\n%s\nCOPY files %s\n' "$debian" "$stamp" "${4:-}" "$3" >"$work/Dockerfile"
  tar --create --directory "$work" Dockerfile --directory "$2" --exclude=./share/doc --exclude=./share/man --transform 's,^\.,files,S' . |
    timeout 600 $docker build --quiet --network host --tag "$1" - >/dev/null
}

make_rust() {
  local sysroot
  sysroot=$(rustc "+$(version "$1")" --print sysroot 2>/dev/null || rustc --print sysroot)
  [[ $("$sysroot/bin/rustc" --version) == "rustc $(version "$1") "* ]] || fail "this machine's Rust is not $(version "$1"), which $1 has"
  sysroot=$(realpath "$sysroot")
  [[ -e ${CARGO_HOME:-$HOME/.cargo}/config.toml ]] && fail "a cargo configuration is not carried over yet: write that here"
  from_folder "$1" "$sysroot" /usr/local/ 'ENV CARGO_HOME=/usr/local/cargo
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc git libc6-dev libssl-dev make perl pkg-config && rm -rf /var/lib/apt/lists/*'
}

make_go() {
  local goroot
  goroot=$(cd / && GOTOOLCHAIN=go$(version "$1") timeout 300 go env GOROOT) || fail "go$(version "$1") could not be fetched"
  from_folder "$1" "$goroot" /usr/local/go 'ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
}

make_node() {
  local arch
  case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) fail "there is no Node.js package for $(uname -m)" ;; esac
  # the programs as npm packages; the official image has them in the same places
  (cd / && timeout 300 npm install --silent --no-save --global --prefix "$work/npm" "node-linux-$arch@$(version "$1")" npm@11 corepack@0.36 >/dev/null)
  mkdir -p "$work/node/bin" "$work/node/lib/node_modules"
  cp "$work/npm/lib/node_modules/node-linux-$arch/bin/node" "$work/node/bin/"
  mv "$work/npm/lib/node_modules/npm" "$work/npm/lib/node_modules/corepack" "$work/node/lib/node_modules/"
  from_folder "$1" "$work/node" /usr/local/
}

is_made "$debian" || { say "making $debian"; make_debian; }
for name in rust go node; do
  image=$(wanted "${name^^}")
  is_made "$image" || { say "making $image"; "make_$name" "$image"; }
done
