#!/usr/bin/env bash
# kill -9 at random moments of one crawl: of the ledger, the gateway and the workers, one at a
# time and sometimes two, each of them again and again.
#
#   test/kill.sh           KILLS=10 by default; KILLS=50 by hand
#   SEED=123 test/kill.sh  the same victims and pauses again
#
# Afterwards no acknowledged receipt is lost, none is paid twice, no page is there twice and
# the books balance. A process that ends by itself meanwhile, as one does that starts while
# what it needs is dead, is started again, as a service manager would.
#
# Needs nginx, curl, jq, openssl and Node. SEEDS names a file of URLs to crawl instead of the
# corpus'; CANTUS_CORPUS keeps the corpus between runs, KEEP=1 what this wrote.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/machines.sh"
for program in curl jq node openssl; do command -v "$program" >/dev/null || die "$program is not installed"; done
KILLS=${KILLS:-10}
SEED=${SEED:-$((RANDOM + 1))}
workplace kill
machines_loopback
say "kill -9, $KILLS times; SEED=$SEED"

if [ -z "${SEEDS:-}" ]; then
  corpus=${CANTUS_CORPUS:-$work/corpus}
  "$root/test/corpus/serve.sh" start "$corpus" >/dev/null
  cleanups+=("'$root/test/corpus/serve.sh' stop '$corpus'")
  SEEDS=$corpus/seeds
fi
mapfile -t urls < "$SEEDS"

found 1 1 4
dataset=$work/dataset
set -m
spawn "$work/logs/crawl.log" cantus_home buyer crawl "${urls[@]}" --out "$dataset" --max-pages $((${PAGES_A_KILL:-500} * KILLS)) --rate "${RATE:-5}" \
  --budget 50note --epoch 20 --audit 2 --json --grpc "$(grpc buyer)" --gateway "$(url g1)"
set +m
crawl=$!
started+=("$crawl")
job=$(opened "$crawl")
logged "job $job is open"

# revive: starts what ended by itself. It must not happen too often.
revived=0
revive() {
  local n
  for n in "${victims[@]}"; do
    alive "$n" && continue
    wait "${pid[$n]}" 2>/dev/null || true
    revived=$((revived + 1))
    [ $revived -le $((20 + 5 * KILLS)) ] || { tail -n 5 "$work/logs/$n.log" >&2; die "processes keep ending by themselves; the last one is $n"; }
    start "$n"
  done
}

victims=(v1 g1 "${workers[@]}")
RANDOM=$SEED
kills=0
while [ $kills -lt "$KILLS" ]; do
  sleep "$((RANDOM % 2)).$((RANDOM % 10))"
  revive
  # On a fast machine the last kills fall on audits, settlement and the dataset, or are not made.
  if ! kill -0 "$crawl" 2>/dev/null; then
    [ $((2 * kills)) -ge "$KILLS" ] || { tail -n 3 "$work/logs/crawl.log" >&2; die "the crawl ended after $kills of $KILLS kills; raise PAGES_A_KILL if that was too early: $(tail -n 1 "$work/logs/g1.log")"; }
    logged "the crawl has ended already"
    break
  fi
  # The gateway and the ledger as often as all of the workers.
  pick=$((RANDOM % 9)) second=$((RANDOM % 20)) down=$((RANDOM % 12))
  case $pick in 0 | 1 | 2) who=(g1) ;; 3 | 4 | 5) who=(v1) ;; *) who=("w$((RANDOM % ${#workers[@]} + 1))") ;; esac
  case $second in 0 | 1) [ "${who[0]}" = g1 ] || who+=(g1) ;; 2) [ "${who[0]}" = v1 ] || who+=(v1) ;; esac
  down=$(awk "BEGIN { print $down / 10 }")
  pages=$(progress g1 "$job" '.counts.pages // 0')
  for n in "${who[@]}"; do kill9 "$n"; done
  kills=$((kills + ${#who[@]}))
  logged "kill $kills: ${who[*]} at ${pages:-?} pages, back after $down s"
  sleep "$down"
  for n in "${who[@]}"; do start "$n"; done
done
logged "$kills kills; processes that ended by themselves and were started again: $revived"

rc=0
for _ in $(seq "${CRAWL_SECONDS:-600}"); do
  kill -0 "$crawl" 2>/dev/null || break
  revive
  sleep 1
done
kill -0 "$crawl" 2>/dev/null && { progress g1 "$job" . >&2; die "the crawl is not done after ${CRAWL_SECONDS:-600} s"; }
wait "$crawl" || rc=$?
[ $rc = 0 ] || { tail -n 3 "$work/logs/crawl.log" >&2; die "the crawl did not outlive the kills: exit code $rc"; }
logged "the crawl is audited, settled, paid and written"

say "what must hold"
once "$dataset" > "$work/got"
logged "$(wc -l < "$work/got") pages, none twice"
cantus_on buyer verify "$dataset" --grpc "$(grpc buyer)"
money "$job"
books
mkdir -p "$work/vouchers"
for w in "${workers[@]}"; do
  stop "${pid[$w]}"
  on "$w" "$CANTUS_WORKER" vouchers --home "$work/$w" > "$work/vouchers/${worker_key[$w]}"
done
NODE_EXTRA_CA_CERTS=$work/ca.pem node "$root/test/receipts.mjs" "$(url g1)" "$job" "$work/job-$job.json" "$work/vouchers" ||
  die "receipts, vouchers and claims do not agree"
logged "no acknowledged receipt is lost, none is paid twice"
say "kill: ok (KILLS=$KILLS SEED=$SEED)"
