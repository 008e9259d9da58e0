# What the scripts that run whole networks share. Sourced with bash, set -euo pipefail.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# CANTUS_BIN names another directory with the two programs than the one that make build fills.
bin=${CANTUS_BIN:-$root/bin}
export CANTUS=$bin/cantus CANTUS_WORKER=$bin/cantus-worker
for program in "$CANTUS" "$CANTUS_WORKER"; do
  [ -x "$program" ] || { echo "$program is missing: run make build" >&2; exit 1; }
done

say() { printf '\n== %s\n' "$*"; }
die() { printf 'FAIL: %s\n' "$*" >&2; exit 1; }

# Process IDs of what this script started; nothing else is ever stopped.
started=()

# stop PID: asks, waits half a minute, then insists.
stop() {
  local pid=$1
  kill -INT "$pid" 2>/dev/null || return 0
  for _ in $(seq 300); do
    [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || { wait "$pid" 2>/dev/null || true; return 0; }
    sleep 0.1
  done
  echo "process $pid did not stop within 30 s; killing it" >&2
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

cleanups=()
cleanup() {
  local rc=$? i
  set +e
  trap - EXIT INT TERM
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do stop "${started[$i]}"; done
  for ((i = ${#cleanups[@]} - 1; i >= 0; i--)); do eval "${cleanups[$i]}"; done
  exit $rc
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# workplace: a directory that goes away at the end, unless KEEP=1 or something failed in CI.
workplace() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/cantus-$1.XXXXXX")
  if [ -n "${KEEP:-}" ]; then echo "everything is kept in $work"; else cleanups+=("rm -rf '$work'"); fi
}

# network_up HOME [WRAPPER...]: starts `cantus up` and waits until it can be used; without the
# demo model and its tab unless UP says --demo. Sets network_pid.
network_up() {
  local home=$1
  shift
  rm -f "$home/network.json"
  # In a process group of its own, so that Ctrl-C reaches this script and not both.
  set -m
  "$@" "$CANTUS" up --workers "${WORKERS:-4}" "${UP:---demo=false}" --home "$home" >"$home.log" 2>&1 &
  set +m
  network_pid=$!
  started+=("$network_pid")
  for _ in $(seq 1200); do
    if [ -s "$home/network.json" ] && "$CANTUS" status --home "$home" >/dev/null 2>&1; then return 0; fi
    if ! kill -0 "$network_pid" 2>/dev/null; then tail -50 "$home.log" >&2; die "cantus up ended"; fi
    sleep 0.1
  done
  tail -50 "$home.log" >&2
  die "no network within two minutes"
}

network_down() { stop "$network_pid"; }

# newest_job HOME: the number of the job that was opened last.
newest_job() { "$CANTUS" job list --json --home "$1" | jq -r 'map(.id) | max'; }
