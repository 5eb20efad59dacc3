#!/usr/bin/env bash
# The main job on real input: a lab of its own in .demo/, and a real PocketBase app deployed into it from a git repository.
#
#   scripts/demo.sh           stays in the foreground; Ctrl-C stops everything it started
#   scripts/demo.sh --check   checks that the app answers, keeps its data over a redeploy and tells of changes, then ends
#
# DEMO_PORT (8080) and DEMO_API_PORT (9000) choose other ports; DEMO_FRESH=1 begins without the data of the last time.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${DEMO_PORT:-8080}
api_port=${DEMO_API_PORT:-9000}
root=$PWD/.demo
bin=${CARGO_TARGET_DIR:-$PWD/target}/debug
check=
[ "${1:-}" = --check ] && check=1 && root=$PWD/.demo/check
[ -n "$check" ] || [ -n "${DEMO_FRESH:-}" ] && rm -rf "$root"
mkdir -p "$root"

server=
stop() {
	trap - EXIT INT TERM
	if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
		echo "stopping the lab and its apps …"
		kill -TERM "$server"
		wait "$server" || true
	fi
	exit "${1:-0}"
}
trap 'stop $?' EXIT
trap 'stop 0' INT TERM

# a repository as anybody would push it
repository=$root/guestbook.git
work=$(mktemp -d "$root/work.XXXXXX")
cp -a examples/apps/guestbook/. "$work/"
git -C "$work" init --quiet --initial-branch=main
git -C "$work" add --all
git -C "$work" -c user.name=Demo -c user.email=demo@example.com commit --quiet -m "The guestbook"
rm -rf "$repository"
git clone --quiet --bare "$work" "$repository"
rm -rf "$work"

echo "starting lab-server (log: ${root#"$PWD"/}/server.log) …"
export DATA_DIR=$root/data DOMAIN_NAME=lab.localhost CADDY_PORT=$port LAB_MANAGER_PORT=$api_port
export LAB_ALLOW_LOCAL_REPOSITORIES=true LAB_POCKETBASE_SOURCE=path:$PWD/.tools/pocketbase
# in a session of its own: a Ctrl-C is for this script, which then asks the server to end, once
setsid "$bin/lab-server" --stop-apps-on-exit >"$root/server.log" 2>&1 &
server=$!
for _ in $(seq 200); do
	if [ -S "$DATA_DIR/lab.sock" ] && "$bin/lab" --socket "$DATA_DIR/lab.sock" ls >/dev/null 2>&1; then ready=1; break; fi
	kill -0 "$server" 2>/dev/null || break
	sleep 0.05
done
if [ -z "${ready:-}" ]; then
	echo "lab-server did not start:" >&2
	tail -n 20 "$root/server.log" >&2
	stop 1
fi

lab() { "$bin/lab" --socket "$DATA_DIR/lab.sock" "$@"; }
lab deploy "$repository" --name guestbook

if [ -n "$check" ]; then
	python3 scripts/demo_check.py --port "$port" --lab "$bin/lab" --socket "$DATA_DIR/lab.sock"
	stop 0
fi
cat <<EOF

The guestbook answers at   http://guestbook.lab.localhost:$port/
Look around:               export DATA_DIR=$DATA_DIR
                           $bin/lab ls
                           $bin/lab logs -f guestbook
                           $bin/lab superuser guestbook you@example.com
Ctrl-C stops everything.
EOF
wait "$server" || { echo "lab-server ended:" >&2; tail -n 20 "$root/server.log" >&2; stop 1; }
