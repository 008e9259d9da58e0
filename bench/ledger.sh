#!/usr/bin/env bash
# bench/ledger.sh: the ledger's transactions a second and submit-to-final times, one validator and four
#
# Transfers between accounts on networks of this machine's loopback addresses, made by the
# commands that real machines use. FOR (20s), SENDERS (400), BLOCK_TIME (700ms, what a node waits
# after a block) and VALIDATORS ("1 4") change the defaults. Needs jq and openssl.
set -euo pipefail
. "$(dirname "$0")/../test/lib.sh"
. "$(dirname "$0")/../test/machines.sh"
export GOFLAGS="-trimpath -tags=netgo -buildvcs=false"
workplace bench-ledger
all=$work
if [ -x "$bin/ledgerload" ]; then cp "$bin/ledgerload" "$all/"; else go build -o "$all/ledgerload" "$root/bench/ledgerload"; fi
echo "$(nproc) processors, load $(cut -d' ' -f1 /proc/loadavg), $("$CANTUS" --version)"
for n in ${VALIDATORS:-1 4}; do
  work=$all/$n
  mkdir "$work"
  machines_loopback
  base=127.$((100 + $$ % 100 + n))
  extra_accounts=()
  for a in $("$all/ledgerload" accounts -senders "${SENDERS:-400}"); do extra_accounts+=(--account "$a=1000note"); done
  say "$n validators"
  found "$n" 0 0
  nodes=$(for v in "${validators[@]}"; do echo "${address[$v]}:9090"; done | paste -sd,)
  "$all/ledgerload" run -grpc "$nodes" -senders "${SENDERS:-400}" -for "${FOR:-20s}"
  same_state "${validators[@]}"
  for v in "${validators[@]}"; do stop "${pid[$v]}"; done
done
