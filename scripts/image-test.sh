#!/usr/bin/env bash
# Builds the Docker image and tries it out, in a Docker of its own: its own daemon, data, socket and pid file, no firewall
# rules, and no network device but the bridge of docker-compose.yml while that is up. What it keeps between runs (base images
# and build caches) is in .tools/image-docker.
#
#   scripts/image-test.sh
#
# UPDATE_DOCS=1 writes the table of sizes into docs/image.md; CLEAN=1 keeps nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
export DOCKER_BUILDKIT=1
docker=/usr/bin/docker
data=$PWD/.tools/image-docker
limit_gb=6

say() { printf 'image-test: %s\n' "$*"; }
fail() { say "$@" >&2; exit 1; }

((EUID == 0)) || fail "a Docker of its own has to be started by root: run it as root"
scripts/install-tools.sh packages docker hadolint pocketbase
mkdir -p "$data"
exec 9>"$data.lock"
flock --nonblock 9 || fail "another run uses $data"
free_gb=$(df --output=avail --block-size=1G "$data" | tail -n 1)
((free_gb >= limit_gb + 2)) || fail "there are $free_gb GB free, and $((limit_gb + 2)) are needed"

say "linting"
.tools/bin/hadolint Dockerfile
# the format's own library, checked against Go's checksum database; its program does not see the environment
GOFLAGS=-mod=mod timeout 300 go run github.com/compose-spec/compose-go/v2/cmd@v2.9.1 -no-interpolation docker-compose.yml >/dev/null || fail "docker-compose.yml is not valid"

# short, because the paths of sockets must be
run=$(mktemp -d /tmp/lab-image.XXXXXX)
export DOCKER_HOST=unix://$run/docker.sock DOCKER_CONFIG=$run/config
daemon=
# wait_for PID SECONDS: whether it is gone by then
wait_for() {
  for _ in $(seq $(($2 * 10))); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done
  return 1
}
# what earlier runs left of images and caches
tidy() {
  timeout 60 $docker image prune --force >/dev/null || true
  timeout 60 $docker builder prune --force --keep-storage 3GB >/dev/null || true
}
stop() {
  local code=$? id containerd
  trap '' INT TERM
  if [[ $daemon ]] && kill -0 "$daemon" 2>/dev/null; then
    for id in $(timeout 20 $docker ps --all --quiet); do timeout 30 $docker rm --force --volumes "$id" >/dev/null || true; done
    tidy
    containerd=$(cat "$run/exec/containerd/containerd.pid" 2>/dev/null || true)
    kill -TERM "$daemon"
    wait_for "$daemon" 30 || kill -KILL "$daemon"
    [[ ! $containerd ]] || wait_for "$containerd" 10 || kill -KILL "$containerd"
  fi
  # nothing may be mounted in what is deleted
  awk -v run="$run/" 'index($5, run) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs --no-run-if-empty umount
  rm -rf --one-file-system "$run"
  [[ ! ${CLEAN:-} ]] || rm -rf --one-file-system "$data"
  exit "$code"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "starting a Docker of its own"
echo '{}' >"$run/daemon.json"
# in a session of its own: a Ctrl-C is for this script
setsid dockerd --config-file "$run/daemon.json" --data-root "$data" --exec-root "$run/exec" --pidfile "$run/pid" --host "$DOCKER_HOST" \
  --bridge none --iptables=false --ip-forward=false --ip-masq=false --log-level warn >"$run/log" 2>&1 9>&- &
daemon=$!
for _ in $(seq 300); do
  $docker version >/dev/null 2>&1 && break
  kill -0 "$daemon" 2>/dev/null || fail "dockerd ended: $(tail -n 5 "$run/log")"
  sleep 0.1
done
$docker version >/dev/null || fail "dockerd does not answer: $(tail -n 5 "$run/log")"

SECONDS=0
scripts/image-bases.sh
say "base images: ${SECONDS} s"
SECONDS=0
timeout 1500 $docker build --network host --tag lab:test . >"$run/build.log" 2>&1 || { tail -n 40 "$run/build.log" >&2; fail "the image does not build"; }
say "docker build: ${SECONDS} s"
tidy
used_mb=$(du --summarize --block-size=1M "$data" | cut -f 1)
say "Docker's data: $used_mb MB"
((used_mb < limit_gb * 1000)) || fail "that is more than $limit_gb GB: make image-clean"
SECONDS=0
timeout 600 /usr/bin/python3 scripts/image_check.py --image lab:test --work "$run/check" --pocketbase "$PWD/.tools/pocketbase" ${UPDATE_DOCS:+--update docs/image.md}
say "the checks: ${SECONDS} s"
SECONDS=0
timeout 600 /usr/bin/python3 scripts/image_compose.py --image lab:test --work "$run/compose" --pocketbase "$PWD/.tools/pocketbase"
say "docker-compose: ${SECONDS} s"
