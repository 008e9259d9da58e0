#!/usr/bin/env bash
# Determinism of what contracts can do: four validators, a gateway and four workers of as many
# operators, and thousands of requests under every policy, from accounts and contracts that
# storm, revert, lie, die, cancel and deliver what does not belong, some of which the gateway
# answers meanwhile. Twice it is killed with kill -9 and comes back: with requests that it has
# not answered, and amid the storms. Then every request must be over, final,
# failed or cancelled, and nobody's money be left with the ledger for it; every validator must
# have computed the same outcome of every transaction and the same state after every block, the
# books must balance, and a fifth node that joins by state sync from a snapshot must agree. At
# last the gateway withdraws its offer, and the ledger refuses who asks then.
#
#   test/contracts-net.sh        (make e2e-contracts-net builds first)
#
# REQUESTS asks for another number than 2,000, SEED for an order of things that was there
# before, PATIENCE for another time than 1,200 s to answer and end requests afterwards. Needs
# jq, curl, openssl and Node; the machines are loopback addresses. KEEP=1 keeps what it wrote.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
# Windows in which the epochs of a test settle, on a machine that does all of this at once. The
# gateway gets long to answer challenges: it sends one transaction a block, and would be
# slashed and paused for what it has not brought to the ledger yet of the storms' jobs.
: "${WINDOWS:={\"open_blocks\":150,\"verdict_commit_blocks\":150,\"verdict_reveal_blocks\":100,\"challenge_blocks\":5,\"answer_blocks\":1000,\"grace_blocks\":400,\"unbonding_blocks\":4000,\"dispute_open_blocks\":20,\"dispute_move_blocks\":100\}}"
# The storms are more than a gateway would be asked for, and what comes to nothing ends soon.
: "${REQUEST_PARAMS:={\"max_open_per_gateway\":1000000,\"deliver_blocks\":\"600\"\}}"
. "$(dirname "$0")/machines.sh"
for program in curl jq node openssl; do command -v "$program" >/dev/null || die "$program is not installed"; done
workplace contracts-net
[ -d "$root/test/contracts/node_modules" ] ||
  (cd "$root/test/contracts" && npm ci --ignore-scripts --no-audit --no-fund --prefer-offline >/dev/null)

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
# load RPCS NAME=VALUE...: contracts' requests, by the script that says what its settings mean.
# In a subshell, which becomes it.
load() {
  cd "$root/test/contracts"
  exec env RPCS="$1" REST="$rest" KEYS="${keys[*]}" MODEL="$model" GATEWAY="$(jq -r .gateway "$work/offer.json")" "${@:2}" node load.mjs
}
set -m
: > "$work/load.log"
load "${rpcs[*]}" LEISURE="${LEISURE:-150}" PATIENCE="${PATIENCE:-1200}" ENDED=1 OUT="$work/load.json" > >(tee "$work/load.log") 2>&1 &
set +m
loading=$!
started+=("$loading")

# once_told WORDS: waits until the load says so.
once_told() {
  until grep -qE "$1" "$work/load.log"; do
    kill -0 "$loading" 2>/dev/null || die "the load ended before it said: $1"
    sleep 0.3
  done
}
# gateway_dies WHEN: a power cut of ten seconds.
gateway_dies() {
  kill9 g1
  logged "$1, at block $(height v1): kill -9 of the gateway"
  sleep 10
  start g1
  await_gateway g1
  back=$(height v1)
  logged "it is back at block $back"
}
once_told 'requests at leisure$'
gateway_dies "$(grep -oE '^[0-9]+ requests at leisure$' "$work/load.log")"
first=$back
once_told '[0-9]+ s: [0-9]+ requests, '
gateway_dies "amid the storms, $(grep -oE "[0-9]+ requests, " "$work/load.log" | tail -1 | tr -d ,)"
wait "$loading" || die "not every request ended as it should: $work/load.log"
answered=$(jq --argjson b "$first" '[.answered_in[] | select(. > $b)] | length' "$work/load.json")
[ "$answered" -gt 0 ] || die "nothing was answered after the gateway had been killed"
logged "$answered answers of $(jq '.answered_in | length' "$work/load.json") after the gateway had come back, $(jq --argjson b "$back" '[.answered_in[] | select(. > $b)] | length' "$work/load.json") of them after the second time"
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
for v in "${validators[@]}"; do
  balanced "$v"
  jq -e '.held == "0"' "$work/books-$v-requests.json" >/dev/null || die "every request is over, and at $v x/requests still holds $(jq -r .held "$work/books-$v-requests.json") anote"
done
books

say "a fifth node joins by state sync"
join_by_state_sync v5
# A few requests more, so that it carries out what contracts do on the state that it was given.
await_height v5 $((earliest + 3))
load "http://${address[v1]}:8545" REQUESTS="${AFTER:-100}" LEISURE=0 PATIENCE=1 OUT="$work/after.json" | tail -1
cantus_on g1 gateway withdraw "$model" --from gateway --grpc "$(grpc g1)"
(cd "$root/test/contracts" && RPC="http://${address[v1]}:8545" KEY="${keys[0]}" MODEL=$model node withdrawn.mjs)
to=$(height v1)
for v in "${validators[@]}" v5; do await_height "$v" $((to + 1)); done
node "$root/test/contracts/agree.mjs" "$earliest" "$to" "${rpcs[@]}" "http://${address[v5]}:26657" || die "v5 does not agree"
same_state "${validators[@]}" v5
balanced v5
logged "v5 has joined by state sync at block $earliest and agrees; a request after the withdrawal was refused"

say "what happened when"
printf '%s\n' "${events[@]}"
say "e2e-contracts-net: ok"
