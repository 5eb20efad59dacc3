#!/usr/bin/env bash
# Goes through docs/deploy-vps.md on a Debian 12 of its own with a systemd of its own (systemd-nspawn), without a network: the
# steps of the installation, both units, the way from one to the other, kills, the end of the machine and its next start.
#
#   scripts/vps-test.sh
#
# What it keeps between runs, 450 MB, is in .tools/vps; CLEAN=1 keeps nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
kept=$PWD/.tools/vps
domain=lab.example.com

say() { printf 'vps-test: %s\n' "$*"; }
fail() { say "$@" >&2; exit 1; }

((EUID == 0)) || fail "a machine of its own has to be started by root: run it as root"
scripts/install-tools.sh packages vps pocketbase
cargo build --locked --quiet -p lab-server -p lab-cli
bin=${CARGO_TARGET_DIR:-$PWD/target}/debug

if [[ ! -d $kept/debian ]]; then
  say "making a Debian 12"
  mkdir -p "$kept"
  # shellcheck disable=SC2016
  archive=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "bookworm" { print $2; exit }')
  [[ $archive ]] || fail "this machine's apt knows no archive of bookworm: is it Debian 12?"
  rm -rf --one-file-system "$kept/new"
  timeout 600 debootstrap --variant=minbase \
    --include=systemd,systemd-sysv,dbus,git,ca-certificates,libssl3,openssh-client,python3-venv,curl,procps \
    bookworm "$kept/new" "$archive" >"$kept/log" || fail "debootstrap failed: $(tail -n 5 "$kept/log")"
  mv "$kept/new" "$kept/debian"
fi

run=$(mktemp -d /tmp/lab-vps.XXXXXX)
root=$run/root
nspawn=''
leader=''
# wait_until SECONDS WHAT COMMAND...
wait_until() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || { inside journalctl --no-pager --lines 30 2>/dev/null || tail -n 30 "$run/console"; fail "FAILED  $what"; }
    sleep 0.2
  done
  say "ok      $what"
}
inside() { nsenter --target "$leader" --all -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"; }
is_up() { leader=$(pgrep -P "$nspawn" | head -n 1) && inside systemctl is-active --quiet multi-user.target; }
boot() {
  # its filter knows no Landlock, which rehearsals use; cgroup v1 does not tell when a group of processes has ended
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setsid systemd-nspawn --quiet --boot --directory "$root" --machine lab-vps \
    --private-network --register=no --keep-unit --bind-ro="$PWD/.tools/pocketbase:/opt/pocketbase" \
    --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" >>"$run/console" 2>&1 </dev/null &
  nspawn=$!
  wait_until 60 "systemd is up" is_up
}
shut_down() {
  # SIGRTMIN+4 is systemd's poweroff.target, see systemd(1)
  kill -s RTMIN+4 "$leader"
  for _ in $(seq 900); do kill -0 "$nspawn" 2>/dev/null || { nspawn='' && return; }; sleep 0.1; done
  fail "FAILED  the machine ends"
}
stop() {
  local code=$?
  trap '' INT TERM
  # nspawn takes all that runs in it along
  if [[ $nspawn ]] && kill -0 "$nspawn" 2>/dev/null; then kill -KILL "$leader" "$nspawn" 2>/dev/null || true; wait "$nspawn" 2>/dev/null || true; fi
  rm -rf --one-file-system "$run"
  [[ ! ${CLEAN:-} ]] || rm -rf --one-file-system "$kept"
  exit "$code"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

lab() { inside env DATA_DIR=/var/lib/lab lab "$@"; }
# settings LINE...: /etc/lab/lab.env, beside what a network would bring
settings() {
  printf '%s\n' "DOMAIN_NAME=$domain" LAB_API_KEY=0123456789abcdef0123 LAB_ALLOW_LOCAL_REPOSITORIES=true \
    LAB_POCKETBASE_SOURCE=path:/opt/pocketbase "$@" | install -m 600 /dev/stdin "$root/etc/lab/lab.env"
}
# push MESSAGE: what lies in the app's folder, as a commit of its repository
push() {
  git -C "$run/app" add --all
  git -C "$run/app" -c user.name=Test -c user.email=test@example.com commit --quiet -m "$1"
  rm -rf "$root/srv/guestbook.git"
  git clone --quiet --bare "$run/app" "$root/srv/guestbook.git"
  inside chown -R lab:lab /srv/guestbook.git
}
app_pid() { inside pgrep -u lab -f 'pocketbase serve'; }
ask() { inside curl --silent --show-error --fail --max-time 5 --insecure --connect-to "::127.0.0.1:" "$@"; }
embedded() { ask --header "Host: guestbook.$domain" "http://127.0.0.1:8080$1" "${@:2}"; }
production() { ask "https://guestbook.$domain$1" "${@:2}"; }
sees() { "$1" /api/collections/messages/records | grep --quiet "still there"; }

say "installing by docs/deploy-vps.md"
cp --archive "$kept/debian" "$root"
install "$bin/lab-server" "$bin/lab" "$root/usr/local/bin/"
chroot "$root" useradd --system --home-dir /var/lib/lab/home --shell /usr/sbin/nologin lab
install -d -m 700 "$root/etc/lab"
cp scripts/requirements-caddy.txt scripts/requirements-supervisor.txt "$root/root/"
# how this machine reaches its package index
for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt /etc/resolv.conf; do
  [[ ! -e $file ]] || cp --dereference "$file" "$root$file"
done
chroot "$root" python3 -m venv /opt/lab
chroot "$root" timeout 300 /opt/lab/bin/pip install --quiet --no-deps --only-binary :all: --require-hashes \
  -r /root/requirements-caddy.txt -r /root/requirements-supervisor.txt 2>"$run/pip" || fail "pip: $(tail -n 5 "$run/pip")"
install -m 644 deploy/lab.service deploy/lab-production.service "$root/etc/systemd/system/"
cp --archive examples/apps/guestbook "$run/app"
git -C "$run/app" init --quiet --initial-branch=main

boot
push "The guestbook"
settings LAB_PUBLIC_LISTEN=127.0.0.1:8080 LAB_PUBLIC_HTTPS=true LAB_TRUSTED_PROXIES=127.0.0.1,::1
inside systemctl enable --quiet --now lab
wait_until 20 "lab.service answers" lab ls
lab deploy /srv/guestbook.git --name guestbook >"$run/deploy" 2>&1 || fail "FAILED  an app is deployed: $(cat "$run/deploy")"
embedded /api/collections/messages/records --json '{"author": "The test", "body": "still there"}' >/dev/null
wait_until 5 "it has a record" sees embedded

before=$(app_pid)
inside systemctl restart lab
wait_until 20 "lab.service answers again" lab ls
[[ $(app_pid) == "$before" ]] || fail "FAILED  the app did not notice the restart of Lab"
say "ok      the app did not notice the restart of Lab"

cat >"$run/app/pb_migrations/1999999999_mood.js" <<'MIGRATION'
migrate((app) => {
  const messages = app.findCollectionByNameOrId("messages");
  messages.fields.add(new TextField({ name: "mood" }));
  app.save(messages);
});
MIGRATION
push "A mood"
lab deploy --name guestbook >"$run/deploy" 2>&1 || fail "FAILED  a migration is deployed: $(cat "$run/deploy")"
grep --quiet 'field .mood. added' "$run/deploy" || fail "FAILED  the migration was rehearsed: $(cat "$run/deploy")"
grep --quiet "could reach nobody by TCP" "$run/deploy" || fail "FAILED  the rehearsal was confined: $(cat "$run/deploy")"
say "ok      a migration is rehearsed, confined, and deployed"
wait_until 5 "the record is there" sees embedded

say "the production stack"
inside systemctl disable --quiet --now lab
[[ $(app_pid) ]] || fail "FAILED  the app outlives lab.service"
settings LAB_TLS=internal CADDY_PORT=80
inside systemctl enable --quiet --now lab-production
wait_until 30 "the record is there, by https" sees production
[[ $(app_pid | wc -l) == 1 ]] || fail "FAILED  the app runs once: $(app_pid)"
for program in caddy supervisord lab-server init; do
  init=$(inside systemctl show --property MainPID --value lab-production)
  case $program in
    init) pid=$init ;;
    # a Python program is named after Python
    supervisord) pid=$(inside pgrep -P "$init" -f bin/supervisord) ;;
    *) pid=$(inside pgrep -P "$init" -x "$program") ;;
  esac
  inside kill -KILL "$pid"
  wait_until 5 "$program is gone" bash -c "! nsenter --target $leader --all -- kill -0 $pid"
  wait_until 60 "the record is there after the end of $program" sees production
done
wait_until 20 "Lab answers" lab ls
shut_down
boot
wait_until 60 "the record is there after the machine's own end" sees production
begun=$SECONDS
inside systemctl disable --quiet --now lab-production
((SECONDS - begun <= 57)) || fail "FAILED  lab-production.service ends within 57 s: $((SECONDS - begun)) s"
! inside pgrep -u lab >/dev/null || fail "FAILED  nothing outlives lab-production.service: $(inside pgrep -u lab -a)"
say "ok      lab-production.service has ended, with all it started"

settings LAB_PUBLIC_LISTEN=127.0.0.1:8080
inside systemctl enable --quiet --now lab
wait_until 30 "the record is there under lab.service" sees embedded
lab rollback guestbook >"$run/deploy" 2>&1 || fail "FAILED  a rollback: $(cat "$run/deploy")"
wait_until 10 "the record is there after a rollback" sees embedded
shut_down
say "both units work"
