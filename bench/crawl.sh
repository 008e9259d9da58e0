#!/usr/bin/env bash
# bench/crawl.sh: pages a second through the network and without it; 50 pages from command to settled
#
# Serves the documentation corpus on loopback, starts a one-machine network, and prints
#
#   - how long `cantus crawl` of 50 pages takes from the command to the settled, written
#     dataset, RUNS times on the running network;
#   - a crawl of at most PAGES (20000: all that there are, so that both fetch the same)
#     through the network: the whole command, and the part in which pages were fetched;
#   - the same crawl by the same code in one process without the network (localcrawl).
#
# Needs jq and nginx. PAGES, WORKERS (4) and RUNS (2) change the defaults; CANTUS_CORPUS
# keeps the corpus between runs.
set -euo pipefail
. "$(dirname "$0")/../test/lib.sh"
export GOFLAGS="-trimpath -tags=netgo -buildvcs=false"
PAGES=${PAGES:-20000} WORKERS=${WORKERS:-4} RUNS=${RUNS:-2}
workplace bench
home=$work/home
corpus=${CANTUS_CORPUS:-$work/corpus}

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
per() { awk -v n="$1" -v s="$2" 'BEGIN { printf "%.0f", n / s }'; }

# processor PID...: seconds of processor time of these processes and their children so far.
processor() {
  local hz pid sum=0
  hz=$(getconf CLK_TCK)
  for pid in "$@" $(children "$1"); do
    read -r ticks < <(awk '{ print $14 + $15 }' "/proc/$pid/stat" 2>/dev/null || echo 0)
    sum=$((sum + ticks))
  done
  awk -v t="$sum" -v hz="$hz" 'BEGIN { printf "%.1f", t / hz }'
}
children() { local c; for c in $(cat /proc/"$1"/task/*/children 2>/dev/null); do echo "$c"; children "$c"; done; }

say "machine"
grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | sed 's/^ //'
echo "$(nproc) processors, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), load $(cut -d' ' -f1 /proc/loadavg), $("$CANTUS" --version)"

go build -o "$work/localcrawl" "$root/bench/localcrawl"
"$root/test/corpus/serve.sh" start "$corpus" >/dev/null
cleanups+=("'$root/test/corpus/serve.sh' stop '$corpus'")
mapfile -t urls < "$corpus/seeds"

say "network"
t=$(now)
network_up "$home"
echo "up in $(since "$t") s, the first time"

say "50 pages, from the command to the settled dataset"
for i in $(seq "$RUNS"); do
  t=$(now)
  "$CANTUS" crawl "${urls[0]}" --out "$work/fifty-$i" --max-pages 50 --home "$home" --json >"$work/fifty-$i.json" 2>/dev/null
  echo "run $i: $(since "$t") s"
done

for i in $(seq "$RUNS"); do
  say "$PAGES pages through the network, run $i"
  before=$(processor "$network_pid")
  t=$(now)
  "$CANTUS" crawl "${urls[@]}" --out "$work/net-$i" --max-pages "$PAGES" --budget 50note --home "$home" --json >"$work/net-$i.json" 2>"$work/net-$i.log"
  whole=$(since "$t")
  cpu=$(awk -v a="$before" -v b="$(processor "$network_pid")" 'BEGIN { printf "%.1f", b - a }')
  echo "whole command $whole s; the network used $cpu s of processor time"
  jq -c 'del(.account)' "$work/net-$i.json" || tail -3 "$work/net-$i.log"

  say "$PAGES pages without the network, run $i"
  "$work/localcrawl" -dir "$work/local-$i" -pages "$PAGES" -parallel "$WORKERS" "${urls[@]}" | jq -c 'del(.counts)'
  rm -rf "$work/local-$i"
done
