#!/usr/bin/env bash
# Answers on a real network: OpenAI's own client, receipts that are checked and computed
# again, a worker that is killed while it answers, clients that hang up, and more requests
# at once than there are workers for.
#
#   test/infer.sh           all of it (make e2e builds first)
#   test/infer.sh CASE...   only these: client receipt kill hangup crowd money
#
# Needs jq, curl and Node, and `npm ci` in test/openai. KEEP=1 keeps what it wrote.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cases=("$@")
[ $# -gt 0 ] || cases=(client receipt kill hangup crowd money)
for program in curl jq node; do command -v "$program" >/dev/null || die "$program is not installed"; done
workplace infer
home=$work/home
cantus() { "$CANTUS" "$@" --home "$home"; }

say "network"
WORKERS=3 UP="--demo" network_up "$home"
# The last thing that `up` does is to open its tab.
for _ in $(seq 300); do cantus tab env >/dev/null 2>&1 && break; sleep 0.1; done
# One of its own, of which much is audited, soon.
cantus tab open --models demo --escrow 50note --audit 50 --epoch 20 --json > "$work/tab.json"
job=$(jq -r .job "$work/tab.json")
export OPENAI_BASE_URL OPENAI_API_KEY
OPENAI_BASE_URL=$(jq -r .base_url "$work/tab.json")
OPENAI_API_KEY=$(jq -r .api_key "$work/tab.json")
gateway=$(jq -r .gateway "$home/network.json")
echo "tab $job at $OPENAI_BASE_URL"

case_client() {
  say "OpenAI's own client, unchanged"
  "$root/test/openai.sh"
}

case_receipt() {
  say "an answer, its receipt, and the same bits again"
  cantus infer --prompt "violin:" --max-tokens 48 --seed 11 --out "$work/a.json"
  cantus verify "$work/a.json" --replay
  cantus verify "$work/a.json" --replay --offline --json | jq -e '.ok and .answers[0].label == "replayed"' >/dev/null || die "no replay"
  # A verifier that has nothing gets the model from the gateway.
  mkdir "$work/stranger"
  "$CANTUS" verify "$work/a.json" --replay --pull --offline --gateway "$gateway" --home "$work/stranger"
  say "one token changed, one letter changed, another price"
  jq '.choices[0].text |= sub("[a-z]"; "Q")' "$work/a.json" > "$work/letter.json"
  jq '.cantus.result |= (explode | .[20] |= (if . == 65 then 66 else 65 end) | implode)' "$work/a.json" > "$work/token.json"
  jq '.cantus.units += 1' "$work/a.json" > "$work/units.json"
  jq 'del(.cantus)' "$work/a.json" > "$work/none.json"
  local f rc
  for f in letter token units none; do
    rc=0
    cantus verify "$work/$f.json" >"$work/out" 2>&1 || rc=$?
    [ $rc = 1 ] || { cat "$work/out" >&2; die "$f.json: exit code $rc, want 1"; }
    echo "refused: $f"
  done
  rc=0
  "$CANTUS" verify "$work/a.json" --replay --offline --home "$work/nothing" >/dev/null 2>&1 || rc=$?
  [ $rc = 3 ] || die "a replay without the model: exit code $rc, want 3"
  say "a chat in the terminal"
  printf 'What is a violin?\n/save %s\n/cost\n/exit\n' "$work/chat.json" | cantus chat --seed 1
  cantus verify "$work/chat.json" --replay
}

# children PID: the processes that PID started.
children() { cat /proc/"$1"/task/*/children 2>/dev/null | tr ' ' '\n' | grep . || true; }

case_kill() {
  say "a worker is killed while it answers"
  mapfile -t workers < <(children "$network_pid")
  [ ${#workers[@]} = 3 ] || die "${#workers[@]} workers, want 3"
  node "$root/test/openai/kill.mjs" "${workers[0]}"
}

case_hangup() {
  say "clients that hang up pay what was done"
  node "$root/test/openai/hangup.mjs"
}

case_crowd() {
  say "a thousand and more requests at once"
  node "$root/test/openai/crowd.mjs" "${CROWD:-1200}"
}

case_money() {
  say "the tab is closed: its money, and the label of its answers"
  [ -e "$work/a.json" ] || cantus infer --tab "$job" --prompt "violin:" --max-tokens 48 --seed 11 --out "$work/a.json"
  cantus tab close "$job"
  local status=
  for _ in $(seq 600); do
    status=$(cantus job show "$job" --json | tee "$work/job.json" | jq -r .status)
    [ "$status" != closed ] || [ "$(jq -r .balanced "$work/job.json")" != true ] || break
    sleep 0.3
  done
  [ "$status" = closed ] || die "the tab is $status"
  local parts
  parts=$(jq -r '[.workers, .gateway, .auditors, .royalties, .burned, .refunded] | join(" ")' "$work/job.json")
  echo "escrow $(jq -r .escrow "$work/job.json") = $parts (workers gateway auditors royalties burned refunded)"
  # shellcheck disable=SC2086 # the parts are words
  node -e '
    const [escrow, ...parts] = process.argv.slice(1).map(BigInt);
    if (parts.reduce((a, b) => a + b, 0n) !== escrow) process.exit(1);
  ' "$(jq -r .escrow "$work/job.json")" $parts || die "the tab does not add up"
  [ "$(jq -r .samples_false "$work/job.json")" = 0 ] || die "an honest answer was found false"
  [ "$(jq -r .samples_upheld "$work/job.json")" -gt 0 ] || die "nothing was audited"
  # Of an epoch whose auditors were killed, or did not get their turn in time, nobody knows.
  local labels
  labels=$(jq -c '[.epochs[] | select(.status == "settled") | .label] | group_by(.) | map({(.[0]): length}) | add' "$work/job.json")
  echo "labels of epochs: $labels"
  jq -e '(.replayed // 0) > (.asserted // 0)' <<<"$labels" >/dev/null || die "most answers were not replayed"
  cantus verify "$work/a.json"
  [ "$(cantus status --json | jq -r .books_ok)" = true ] || die "the ledger's books do not balance"
}

for c in "${cases[@]}"; do
  start=$SECONDS
  "case_$c"
  echo "-- $c: $((SECONDS - start)) s"
done
say "infer: ok"
