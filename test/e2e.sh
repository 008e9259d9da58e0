#!/usr/bin/env bash
# A whole network on real input: clients that were not written here, a crawl of more than
# 2,000 documentation pages, its money to the last anote, foreign tools on its dataset, an
# interrupted crawl that is resumed, and the errors that users meet.
#
#   test/e2e.sh            all of it (make e2e builds first)
#   test/e2e.sh CASE...    only these: clients crawl interop resume kill restart errors
#
# Needs curl, jq, nginx and Node, and `npm ci` in test/js and test/interop. KEEP=1 keeps what it
# wrote; CANTUS_CORPUS names a directory for the corpus, kept between runs.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || set -- clients crawl interop resume kill restart errors

for program in curl jq node unshare; do command -v "$program" >/dev/null || die "$program is not installed"; done
workplace e2e
home=$work/home
corpus=${CANTUS_CORPUS:-$work/corpus}
dataset=$work/dataset
MIN_PAGES=${MIN_PAGES:-2000}

wants() { local c; for c in "${cases[@]}"; do [ "$c" = "$1" ] && return 0; done; return 1; }
cases=("$@")

cantus() { "$CANTUS" "$@" --home "$home"; }

# A crawl that hangs is interrupted, and so fails.
crawl() { timeout --signal=INT "${CRAWL_SECONDS:-300}" "$CANTUS" crawl "$@" --home "$home"; }

# The corpus' host names, if this machine lets the network alone see them.
wrapper=()
if wants crawl || wants resume || wants kill || wants interop; then
  say "corpus"
  "$root/test/corpus/serve.sh" start "$corpus" >/dev/null
  cleanups+=("'$root/test/corpus/serve.sh' stop '$corpus'")
  seeds=$corpus/seeds
  if "$root/test/corpus/with-hosts.sh" "$corpus"; then
    wrapper=("$root/test/corpus/with-hosts.sh" "$corpus")
    seeds=$corpus/seeds.names
  else
    echo "no mount namespaces here: the sites are crawled by address"
  fi
  cat "$seeds"
fi

say "network"
network_up "$home" "${wrapper[@]}"
cat "$home/network.json"

case_clients() {
  say "the signed formats, by a second implementation"
  node "$root/test/vectors/check.mjs"
  say "clients from npm: ethers, viem, cosmjs"
  local key address
  key=$(od -An -vtx1 -N32 /dev/urandom | tr -d ' \n')
  address=$(printf '%s\n' "$key" | cantus account import e2e --json | jq -r .address)
  cantus account send "$address" 10note
  (cd "$root/test/js" && CANTUS_NETWORK=$home/network.json CANTUS_PRIVATE_KEY=$key node all.mjs)
}

# money JOB: what the buyer escrowed went to the six parts, to the last anote.
money() {
  cantus job show "$1" --json > "$work/job-$1.json"
  # jq counts in floating point, which is too coarse for anote: node has whole numbers of any size.
  local parts escrow
  parts=$(jq -r '[.workers, .gateway, .auditors, .royalties, .burned, .refunded] | join(" ")' "$work/job-$1.json")
  escrow=$(jq -r .escrow "$work/job-$1.json")
  echo "escrow $escrow = $parts (workers gateway auditors royalties burned refunded)"
  node -e '
    const [escrow, ...parts] = process.argv.slice(1).map(BigInt);
    const sum = parts.reduce((a, b) => a + b, 0n);
    if (sum !== escrow) { console.error(`the parts sum to ${sum}, the escrow was ${escrow}`); process.exit(1); }
  ' "$escrow" $parts || die "job $1 does not add up"
  [ "$(jq -r .balanced "$work/job-$1.json")" = true ] || die "job $1: the ledger says that it is not balanced"
  [ "$(jq -r '.earned | length' "$work/job-$1.json")" -gt 0 ] || die "job $1: no worker earned anything"
  [ "$(cantus status --json | jq -r .books_ok)" = true ] || die "the ledger's books do not balance"
}

balance() { cantus account show buyer --json | jq -r .balance; }

case_crawl() {
  say "a crawl of at least $MIN_PAGES pages"
  local before after job
  before=$(balance)
  mapfile -t urls < "$seeds"
  crawl "${urls[@]}" --out "$dataset" --max-pages "${MAX_PAGES:-2500}" --budget 50note
  job=$(newest_job "$home")
  after=$(balance)
  say "its money"
  money "$job"
  node -e '
    const [before, after, refunded, escrow] = process.argv.slice(1).map(BigInt);
    const fees = before - after - (escrow - refunded);
    if (fees < 0n || fees > 10n ** 18n) { console.error(`the buyer spent ${before - after} anote, the job ${escrow - refunded}`); process.exit(1); }
    console.log(`the buyer spent ${before - after} anote, of which ${fees} for transactions`);
  ' "$before" "$after" "$(jq -r .refunded "$work/job-$job.json")" "$(jq -r .escrow "$work/job-$job.json")"
  say "its dataset"
  cantus verify "$dataset"
  local pages
  pages=$(grep -c '"status": *"200"' "$dataset/index.cdxj" || true)
  echo "$pages captures with status 200"
  [ "$pages" -ge "$MIN_PAGES" ] || die "$pages pages, want at least $MIN_PAGES"
  say "one altered byte is found"
  cp -r "$dataset" "$work/altered"
  local victim
  victim=$(find "$work/altered/warc" -name '*.warc.gz' | sort | head -1)
  printf 'X' | dd of="$victim" bs=1 seek=$(($(stat -c %s "$victim") / 2)) conv=notrunc status=none
  if cantus verify "$work/altered" >/dev/null 2>&1; then die "an altered dataset verifies"; fi
  rm -rf "$work/altered"
}

case_interop() {
  say "foreign tools on the dataset"
  [ -d "$dataset" ] || case_crawl
  "$root/test/interop/run.sh" "$dataset"
}

case_resume() {
  say "an interrupted crawl, resumed"
  local out=$work/resumed pid job rc=0
  mapfile -t urls < "$seeds"
  set -m
  "$CANTUS" crawl "${urls[@]}" --out "$out" --max-pages 1500 --budget 50note --home "$home" >"$work/resume.log" 2>&1 &
  set +m
  pid=$!
  started+=("$pid")
  # Interrupt it in the middle: when the gateway has pages, and before the crawl is done.
  local gateway pages=0
  gateway=$(jq -r .gateway "$home/network.json")
  for _ in $(seq 1200); do
    job=$(sed -n 's/^job \([0-9]*\) is open$/\1/p' "$work/resume.log")
    [ -z "$job" ] || pages=$(curl -sf "$gateway/v1/jobs/$job" | jq -r '.counts.pages // 0' || echo 0)
    [ "${pages:-0}" -lt 100 ] || break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  kill -0 "$pid" 2>/dev/null || { cat "$work/resume.log" >&2; die "the crawl ended before it could be interrupted"; }
  echo "interrupted at $pages pages"
  kill -INT "$pid"
  wait "$pid" || rc=$?
  [ "$rc" = 130 ] || { cat "$work/resume.log" >&2; die "an interrupted crawl exits with $rc, want 130"; }
  crawl --resume "$job" --out "$out"
  cantus verify "$out"
  money "$job"
  local twice
  twice=$(cut -d' ' -f1 "$out/index.cdxj" | sort | uniq -d | head -5)
  [ -z "$twice" ] || die "fetched twice: $twice"
}

case_restart() {
  say "Ctrl-C, and up again"
  local height
  height=$(cantus status --json | jq -r .height)
  network_down
  network_up "$home" "${wrapper[@]}"
  [ "$(cantus status --json | jq -r .height)" -ge "$height" ] || die "the ledger began anew"
  [ "$(cantus status --json | jq -r .books_ok)" = true ] || die "the ledger's books do not balance"
  cantus job list
}

# The network of this script is not touched: it has processes of its own, one for each part.
case_kill() {
  say "kill -9 of ledger, gateway and workers at random moments of one crawl"
  SEEDS=$corpus/seeds KILLS=${KILLS:-10} "$root/test/kill.sh"
}

# refused WANT COMMAND...: fails as it should, says WANT, and shows no stack trace.
refused() {
  local want=$1 out rc=0
  shift
  out=$("$@" 2>&1) || rc=$?
  [ $rc -ne 0 ] || die "succeeded: $*"
  grep -qiE "$want" <<<"$out" || die "$*: said \"$out\", want something like /$want/"
  if grep -qE 'goroutine [0-9]+ \[|panic:' <<<"$out"; then die "$*: stack trace: $out"; fi
  echo "refused: $(head -1 <<<"$out" | cut -c1-150)"
}

case_errors() {
  say "errors that users meet"
  refused 'address|URL|scheme' cantus crawl 'http://[::bad/' --out "$work/e1"
  refused 'URL|usage|at least' cantus crawl --out "$work/e2"
  refused 'budget' cantus crawl http://127.0.0.1:1/ --out "$work/e3" --budget 0note
  refused 'budget|amount' cantus crawl http://127.0.0.1:1/ --out "$work/e4" --budget=-5note
  refused 'budget|balance|funds|holds' cantus crawl http://127.0.0.1:1/ --out "$work/e5" --budget 999999999999note
  refused 'unit|amount' cantus account send 0x0000000000000000000000000000000000000001 5
  refused 'address' cantus account send nobody 5note
  refused 'in use' "$CANTUS" up --home "$home"
  refused 'no such|does not exist|not a dataset|dataset.json' cantus verify "$work/nothing"
  refused 'cid|CID' cantus trace nonsense
  refused 'job' cantus job show 999999
  refused 'job' cantus crawl --resume 999999 --out "$work/e6"
  refused 'start one|no network' "$CANTUS" status --home "$work/empty"
}

for c in "${cases[@]}"; do
  start=$SECONDS
  "case_$c"
  echo "-- $c: $((SECONDS - start)) s"
done
say "e2e: ok"
