#!/usr/bin/env bash
# A contract asks a model and for pages of the web: viem and ethers from npm, unchanged, deploy
# one on a one-machine network and have it ask under every policy. What it was told must be what
# the network says through its other door, or what a site on this machine serves, and its balance
# what it was less what it cost, to the last anote.
#
#   make build && test/contracts.sh
#
# With CANTUS_HOME it runs against the `cantus up` of that home.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
for tool in node jq; do command -v $tool >/dev/null || die "$tool is not installed"; done

workplace contracts
[ -d "$root/test/contracts/node_modules" ] ||
  (cd "$root/test/contracts" && npm ci --ignore-scripts --no-audit --no-fund --prefer-offline >/dev/null)

if [ -z "${CANTUS_HOME:-}" ]; then
  say "network"
  export CANTUS_HOME=$work/home
  UP=--demo network_up "$CANTUS_HOME"
fi
for _ in $(seq 300); do
  if "$CANTUS" gateway offers --json | jq -e 'length > 2' >/dev/null; then break; fi
  sleep 0.2
done
"$CANTUS" status
"$CANTUS" gateway offers

say "viem and ethers"
key=$(od -An -vtx1 -N32 /dev/urandom | tr -d ' \n')
address=$(printf '%s\n' "$key" | "$CANTUS" account import "contracts-$$" --json | jq -r .address)
"$CANTUS" account send "$address" 50note
(cd "$root/test/contracts" && CANTUS_PRIVATE_KEY=$key node all.mjs)

say "the books"
"$CANTUS" status --json | jq -e '.books_ok' >/dev/null || die "the books do not balance"
curl -fsS "$(jq -r .rest "$CANTUS_HOME/network.json")/cantus/requests/v1/invariants" | jq -e .ok >/dev/null || die "the books of contracts' requests do not balance"
say "ok"
