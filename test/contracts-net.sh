#!/usr/bin/env bash
# Determinism of what contracts can do: four validators, a gateway and four workers of as many
# operators, and thousands of requests under every policy, from accounts and contracts that
# storm, revert, lie, die, cancel and deliver what does not belong, some of which the gateway
# answers meanwhile. Then every validator must have computed the same outcome of every
# transaction and the same state after every block, the books must balance, and a fifth node
# that joins by state sync from a snapshot must agree.
#
#   test/contracts-net.sh        (make e2e-contracts-net builds first)
#
# REQUESTS asks for another number than 2,000, SEED for an order of things that was there
# before, PATIENCE for another time than 240 s to answer and end requests afterwards. Needs
# jq, curl, openssl and Node; the machines are loopback addresses. KEEP=1 keeps what it wrote.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/machines.sh"
for program in curl jq node openssl; do command -v "$program" >/dev/null || die "$program is not installed"; done
workplace contracts-net
[ -d "$root/test/contracts/node_modules" ] ||
  (cd "$root/test/contracts" && npm ci --ignore-scripts --no-audit --no-fund --prefer-offline >/dev/null)

# Windows in which the epochs of a test settle, on a machine that does all of this at once. The
# gateway gets long to answer challenges: it sends one transaction a block, and would be
# slashed and paused for what it has not brought to the ledger yet of the storms' jobs.
# The storms are more than a gateway would be asked for.
: "${REQUESTS:={\"max_open_per_gateway\":1000000\}}"
: "${WINDOWS:={\"open_blocks\":150,\"verdict_commit_blocks\":150,\"verdict_reveal_blocks\":100,\"challenge_blocks\":5,\"answer_blocks\":1000,\"grace_blocks\":400,\"unbonding_blocks\":4000,\"dispute_open_blocks\":20,\"dispute_move_blocks\":100\}}"
machines_loopback
found 4 1 4
rest=http://${address[v4]}:1317

say "the model's offer"
cantus_on g1 model import "$root/models/demo/demo.cantus" --name demo
for w in "${workers[@]}"; do on "$w" "$CANTUS_WORKER" model import "$root/models/demo/demo.cantus" --name demo --home "$work/$w" >/dev/null; done
cantus_on g1 gateway offer --model demo --expiry "${EXPIRY:-150}" --grpc "$(grpc g1)" --json | tee "$work/offer.json"
model=$(jq -r .speaker "$work/offer.json")

say "accounts"
keys=()
for i in 1 2 3 4 5 6; do
  key=$(od -An -vtx1 -N32 /dev/urandom | tr -d ' \n')
  keys+=("$key")
  cantus_on buyer account send "$(printf '%s\n' "$key" | cantus_on buyer account import "load-$i" --json | jq -r .address)" 3000note --grpc "$(grpc buyer)"
done
logged "the demo model is offered, six accounts have money"

say "requests"
rpcs=()
for v in "${validators[@]}"; do rpcs+=("http://${address[$v]}:8545"); done
(cd "$root/test/contracts" && RPCS="${rpcs[*]}" REST=$rest KEYS="${keys[*]}" MODEL=$model GATEWAY=$(jq -r .gateway "$work/offer.json") \
  OUT=$work/load.json node load.mjs)
jq -e '.ends.final > 0 and .ends.cancelled > 0 and .callbacks.failed > 0 and .callbacks.well > 0' "$work/load.json" >/dev/null ||
  die "not everything happened that should: $(cat "$work/load.json")"
logged "$(jq -r '"\(.requests) requests in \(.sending_seconds) s, after \(.seconds) s: " + (.ends | map_values(tostring) | to_entries | map(.key + " " + .value) | join(", "))' "$work/load.json")"

say "the validators"
to=$(height v1)
for v in "${validators[@]}"; do await_height "$v" $((to + 1)); done
rpcs=()
for v in "${validators[@]}"; do rpcs+=("http://${address[$v]}:26657"); done
node "$root/test/contracts/agree.mjs" 1 "$to" "${rpcs[@]}" > "$work/agree.json" || die "the validators do not agree"
cat "$work/agree.json"
same_state "${validators[@]}"
logged "four validators computed the same outcomes and the same state in each of $to blocks"

say "the books"
# balanced NODE: of both modules, as that node has them.
balanced() {
  local m
  for m in work requests; do
    curl -fsS "http://${address[$1]}:1317/cantus/$m/v1/invariants" > "$work/books-$1-$m.json"
    jq -e .ok "$work/books-$1-$m.json" >/dev/null || die "at $1 the books of x/$m do not balance: $(cat "$work/books-$1-$m.json")"
    echo "$1: x/$m balances: $(jq -c 'del(.ok, .broken)' "$work/books-$1-$m.json")"
  done
}
for v in "${validators[@]}"; do balanced "$v"; done
books

say "a fifth node joins by state sync"
machine v5 "$base.1.5"
trust=$(($(height v2) - 5))
hash=$(rpc v2 "commit?height=$trust" | jq -r .result.signed_header.commit.block_id.hash)
peers=()
for v in "${validators[@]}"; do peers+=(--peer "$(peer "$v")"); done
cantus_on v5 ledger join --genesis "$work/genesis.json" --moniker v5 "${peers[@]}" $(listens v5) \
  --trust-height "$trust" --trust-hash "$hash" --trust-rpc "http://${address[v2]}:26657" --trust-rpc "http://${address[v3]}:26657"
tune v5
start v5
await_height v5 "$(height v2)"
earliest=$(rpc v5 status | jq -r .result.sync_info.earliest_block_height)
[ "$earliest" -gt 1 ] || die "v5 replayed every block: it has block $earliest"
# A few requests more, so that it carries out what contracts do on the state that it was given.
await_height v5 $((earliest + 3))
(cd "$root/test/contracts" && RPCS="http://${address[v1]}:8545" REST=$rest KEYS="${keys[*]}" MODEL=$model GATEWAY=$(jq -r .gateway "$work/offer.json") \
  REQUESTS=${AFTER:-100} LEISURE=0 PATIENCE=1 OUT=$work/after.json node load.mjs) | tail -1
to=$(height v1)
for v in "${validators[@]}" v5; do await_height "$v" $((to + 1)); done
node "$root/test/contracts/agree.mjs" "$earliest" "$to" "${rpcs[@]}" "http://${address[v5]}:26657" || die "v5 does not agree"
same_state "${validators[@]}" v5
balanced v5
logged "v5 has joined by state sync at block $earliest and agrees"

say "what happened when"
printf '%s\n' "${events[@]}"
say "e2e-contracts-net: ok"
