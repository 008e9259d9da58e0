#!/usr/bin/env bash
# Upgrades a running network: two validators, a gateway and workers of the program as it was
# before an upgrade crawl a site; the validators vote for the upgrade, stop at its height, and
# go on with today's program, under its new rules, with everything that was there before.
#
#   test/upgrade.sh [COMMIT]     (make e2e-upgrade builds first)
#
# COMMIT is the program before: the last one whose x/work had version 2. It is built from
# this repository's history; a checkout without it skips the test. Needs git, jq, python3.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
before=${1:-1c37edf}
name=${UPGRADE:-v3}

for program in git jq python3; do command -v "$program" >/dev/null || die "$program is not installed"; done
if ! git -C "$root" cat-file -e "$before^{commit}" 2>/dev/null; then
  echo "skipped: commit $before is not in this checkout, which is a shallow one"
  exit 0
fi
workplace upgrade

say "the program before: $before"
git clone -q --no-checkout "$root" "$work/src"
git -C "$work/src" checkout -q "$before"
make -C "$work/src" build >"$work/build.log" 2>&1 || { tail -20 "$work/build.log"; die "it does not build"; }
old=$work/src/bin/cantus
new=$CANTUS

head -c 24 /dev/urandom | base64 > "$work/passphrase"
export CANTUS_PASSPHRASE_FILE=$work/passphrase

# Ports of this script, below the range that the system gives out by itself.
base=${PORT_BASE:-17600}
ports() { # VALIDATOR
  local p=$((base + 10 * $1))
  echo "--rpc 127.0.0.1:$p --p2p 127.0.0.1:$((p + 1)) --grpc 127.0.0.1:$((p + 2)) --rest 127.0.0.1:$((p + 3)) --json-rpc 127.0.0.1:$((p + 4))"
}
rpc=http://127.0.0.1:$((base + 10))
grpc=127.0.0.1:$((base + 12))
rest=http://127.0.0.1:$((base + 13))
site=127.0.0.1:$((base + 40))
gateway=http://127.0.0.1:$((base + 50))

run() { # PROGRAM HOME ARGS...
  local program=$1 home=$2
  shift 2
  "$program" "$@" --home "$work/$home"
}

say "two validators"
for account in ada buyer gateway one two three four; do
  run "$old" a account create $account --json | jq -r .address > "$work/$account"
done
run "$old" b account create ben --json | jq -r .address > "$work/ben"
accounts=()
for account in ada ben buyer gateway one two three four; do accounts+=(--account "$(cat "$work/$account")=200000note"); done
# shellcheck disable=SC2046
run "$old" a ledger init --chain-id upgrade-1 "${accounts[@]}" --from ada --stake 100000note --moniker ada --allow-loopback $(ports 1)
genesis=$work/a/ledger/config/genesis.json
jq '.app_state.gov.params += {voting_period: "8s", expedited_voting_period: "4s", min_deposit: [{denom: "anote", amount: "1000"}], expedited_min_deposit: [{denom: "anote", amount: "2000"}]}
  | .app_state.work.params += {open_blocks: "20", verdict_commit_blocks: "20", verdict_reveal_blocks: "20", challenge_blocks: "3", answer_blocks: "20", grace_blocks: "50"}' \
  "$genesis" > "$work/genesis.json"
cp "$work/genesis.json" "$genesis"
run "$old" b ledger stake --genesis "$genesis" --from ben --stake 100000note --moniker ben > "$work/ben.json"
run "$old" a ledger collect "$work/ben.json"
# shellcheck disable=SC2046
run "$old" b ledger join --genesis "$genesis" --peer "0000000000000000000000000000000000000000@127.0.0.1:1" $(ports 2) > /dev/null
for v in a b; do sed -i 's/^timeout_commit = .*/timeout_commit = "400ms"/' "$work/$v/ledger/config/config.toml"; done

declare -A pid
start() { # WHAT PROGRAM ARGS...
  local what=$1
  shift
  "$@" >>"$work/$what.log" 2>&1 &
  pid[$what]=$!
  started+=("$!")
}
validator() { start "validator-$1" "$2" ledger start --home "$work/$1" --log-level info; }
height() { curl -fsS "$rpc/status" 2>/dev/null | jq -r .result.sync_info.latest_block_height 2>/dev/null || echo 0; }
until_height() { # HEIGHT SECONDS
  local i
  for ((i = 0; i < $2 * 5; i++)); do [ "$(height)" -ge "$1" ] 2>/dev/null && return 0; sleep 0.2; done
  tail -n 20 "$work"/validator-*.log >&2
  die "height $1 was not reached in $2 s: it is $(height)"
}

validator a "$old"
for _ in $(seq 100); do curl -fsS "$rpc/status" >/dev/null 2>&1 && break; sleep 0.1; done
peer=$(curl -fsS "$rpc/status" | jq -r .result.node_info.id)
sed -i "s/^persistent_peers = .*/persistent_peers = \"$peer@127.0.0.1:$((base + 11))\"/" "$work/b/ledger/config/config.toml"
validator b "$old"
until_height 3 60
echo "blocks are made at height $(height)"

say "a market, and a crawl under the old rules"
mkdir "$work/site"
for i in $(seq 30); do
  printf '<html><title>Page %d</title><body><p>This is page %d of a site that outlives its rules.</p><a href="%d.html">next</a></body></html>' "$i" "$i" $((i + 1)) > "$work/site/$i.html"
done
cp "$work/site/1.html" "$work/site/index.html"
start site python3 -m http.server --bind "${site%:*}" --directory "$work/site" "${site#*:}"
export CANTUS_GRPC=$grpc
run "$old" a gateway register --from gateway --url "$gateway" >/dev/null
gateway_start() {
  start gateway "$1" gateway start --from gateway --listen "${gateway#http://}" --plane 127.0.0.1:$((base + 51)) --websocket 127.0.0.1:$((base + 52)) --home "$work/a" --log-level info
}
worker_start() { start "worker-$2" "$(dirname "$1")/cantus-worker" start --home "$work/worker-$2" --gateway "$gateway" --allow-loopback; }
gateway_start "$old"
for w in one two three four; do
  "$(dirname "$old")/cantus-worker" key --home "$work/worker-$w" >/dev/null
  run "$old" a worker enroll "$(find "$work/worker-$w" -name '*key*' -type f | head -1)" --from $w >/dev/null
  worker_start "$old" $w
done
crawl() { # PROGRAM OUT
  timeout 180 "$1" crawl "http://$site/" --max-depth 100 --max-pages 40 --out "$2" --gateway "$gateway" --home "$work/a" --json > "$2.json" 2>"$2.log" ||
    { tail -n 30 "$2.log" "$work/gateway.log" >&2; die "the crawl failed"; }
}
crawl "$old" "$work/first"
run "$old" a verify "$work/first" | tail -1

say "a proposal: $name"
now=$(height)
at=$((now + 60))
authority=$(curl -fsS "$rest/cosmos/auth/v1beta1/module_accounts/gov" | jq -r '.account.base_account.address // .account.value.address')
jq -n --arg authority "$authority" --arg name "$name" --arg at "$at" '{
  messages: [{"@type": "/cosmos.upgrade.v1beta1.MsgSoftwareUpgrade", authority: $authority, plan: {name: $name, height: $at, info: "an upgrade that a test makes"}}],
  metadata: "", deposit: "2000anote", title: $name, summary: "new rules"}' > "$work/proposal.json"
tx() { # PROGRAM HOME ARGS...
  local out
  out=$(run "$1" "$2" ledger tx "${@:3}" --yes --output json)
  [ "$(jq -r .code <<<"${out#*$'\n'}" 2>/dev/null || jq -r .code <<<"$out")" = 0 ] || die "ledger tx ${*:3}: $out"
}
tx "$old" a gov submit-proposal "$work/proposal.json" --from ada
until_height $((now + 3)) 30
tx "$old" a gov vote 1 yes --from ada
tx "$old" b gov vote 1 yes --from ben
for _ in $(seq 60); do
  status=$(curl -fsS "$rest/cosmos/gov/v1/proposals/1" | jq -r .proposal.status)
  [ "$status" = PROPOSAL_STATUS_PASSED ] && break
  sleep 0.5
done
[ "$status" = PROPOSAL_STATUS_PASSED ] || die "the proposal is $status at height $(height)"
echo "passed at height $(height), due at $at"

say "the old program stops at height $at"
# The first one that stops may leave the other without the last votes: it follows later.
for _ in $(seq 600); do grep -q "UPGRADE.*$name.*NEEDED" "$work"/validator-?.log && break; sleep 0.2; done
grep -h "UPGRADE" "$work"/validator-?.log | head -1 | grep . || die "no validator stopped for the upgrade"
# The block of that height may be stored; nobody can have carried it out.
[ "$(height)" -le "$at" ] || die "the old program went on to height $(height)"
for v in a b; do stop "${pid[validator-$v]}"; done
for w in gateway worker-one worker-two worker-three worker-four; do stop "${pid[$w]}"; done

say "the new program goes on"
validator a "$new"
validator b "$new"
until_height $((at + 3)) 90
plan=$(curl -fsS "$rest/cosmos/upgrade/v1beta1/applied_plan/$name" | jq -r .height)
[ "$plan" = "$at" ] || die "the ledger says that $name was applied at height $plan, want $at"
curl -fsS "$rest/cosmos/upgrade/v1beta1/module_versions" | jq -c '.module_versions[] | select(.name == "work")' | tee "$work/versions"
[ "$(jq -r .version "$work/versions")" = 3 ] || die "x/work did not get its new version"
curl -fsS "$rest/cantus/work/v1/params" | jq -c .params | tee "$work/params"
for p in probation_audits outvoted_auditor_slash_bps dispute_open_blocks dispute_move_blocks max_opening_bytes measured_threshold; do
  [ "$(jq -r ".$p | tonumber" "$work/params")" -gt 0 ] || die "the migration left $p at zero"
done
[ "$(jq -r '.refereed_kinds | index("infer/1") != null' "$work/params")" = true ] || die "the migration left infer/1 to votes"
[ "$(jq -r .challenge_blocks "$work/params")" = 3 ] || die "the migration changed a parameter that the network had chosen"
[ "$(curl -fsS "$rest/cantus/work/v1/invariants" | jq -r .ok)" = true ] || die "the books do not balance"

say "a crawl under the new rules, and the old one's dataset"
gateway_start "$new"
for w in one two three four; do worker_start "$new" $w; done
crawl "$new" "$work/second"
run "$new" a verify "$work/second" | tail -1
run "$new" a verify "$work/first" | tail -1
[ "$(curl -fsS "$rest/cantus/work/v1/invariants" | jq -r .ok)" = true ] || die "the books do not balance"
hash() { curl -fsS "http://127.0.0.1:$((base + 10 * $1))/block?height=$2" | jq -r .result.block.header.app_hash; }
h=$(($(height) - 1))
[ "$(hash 1 $h)" = "$(hash 2 $h)" ] || die "the validators disagree at height $h"
say "upgraded at height $at, and both validators agree at $h"
