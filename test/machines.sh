# A network of several machines from the commands that people type, each machine with its own
# home, address, keys and process. Sourced after lib.sh and workplace.
#
#   machines_net           the machines are network namespaces behind one switch (root, iproute2)
#   machines_loopback      they are loopback addresses of this machine
#   found V G W            V validators, G gateways, W workers with an operator each, a buyer
#   start NAME             run v1, g1, w1, … ; again after kill9 NAME
#   kill9 NAME             as a power cut would: no signal that it could handle
#   on NAME COMMAND        run a command there
#   unplug NAME, plug NAME  the cable of a namespace
#   join_by_state_sync NAME  a node more, from a snapshot of the validators'
#
# Names: v1… validators, g1… gateways, w1… workers, buyer, web (the sites).

extra_accounts=() # --account ADDRESS=AMOUNT … for the genesis, besides
declare -A address pid node_id operator_of worker_key
: "${BLOCK_TIME:=700ms}" "${CHAIN_ID:=machines-1}"
# What an honest network needs in blocks, so that a test sees its epochs settle: half a minute
# without a gateway must fit the shortest of the windows.
: "${WINDOWS:={\"open_blocks\":150,\"verdict_commit_blocks\":150,\"verdict_reveal_blocks\":100,\"challenge_blocks\":10,\"answer_blocks\":50,\"grace_blocks\":400,\"unbonding_blocks\":2000\}}"

# logged WHAT: one line of the summary.
events=()
began=$SECONDS
logged() {
  events+=("$(printf '%4d s  %s' $((SECONDS - began)) "$*")")
  printf '%s\n' "${events[-1]}"
}

# ---- where a machine is

# Public addresses, which exist in these namespaces only: the crawler's refusal of private
# ones stays as it is on a public network.
prefix=cn$$
machines_net() {
  mode=net base=5.10
  command -v ip >/dev/null || PATH=$PATH:/usr/sbin
  command -v ip >/dev/null || { echo "SKIPPED: iproute2 is not installed"; exit 0; }
  if ! ip netns add "$prefix-switch" 2>"$work/netns.log"; then
    echo "SKIPPED: no network namespaces here ($(tail -1 "$work/netns.log")): run this as root"
    exit 0
  fi
  namespaces=("$prefix-switch")
  cleanups+=(machines_remove)
  if ! { ip -n "$prefix-switch" link add br0 type bridge && ip -n "$prefix-switch" link set br0 up; } 2>"$work/netns.log"; then
    echo "SKIPPED: no bridge in a network namespace here ($(tail -1 "$work/netns.log"))"
    exit 0
  fi
}

machines_remove() { local n; for n in "${namespaces[@]}"; do ip netns del "$n" 2>/dev/null; done; }

machines_loopback() {
  mode=loopback base=127.$((100 + $$ % 100))
}

# machine NAME ADDRESS...: the first address is its own.
machine() {
  local name=$1 ns=$prefix-$1 a
  shift
  address[$name]=$1
  mkdir -p "$work/$name"
  [ "$mode" = net ] || return 0
  ip netns add "$ns"
  namespaces+=("$ns")
  ip -n "$prefix-switch" link add "p-$name" type veth peer name eth0 netns "$ns"
  ip -n "$prefix-switch" link set "p-$name" master br0 up
  ip -n "$ns" link set lo up
  ip -n "$ns" link set eth0 up
  for a in "$@"; do ip -n "$ns" addr add "$a/16" dev eth0; done
}

# on NAME COMMAND...: does not fork, so that $! of on … & in net mode is the command's.
on() {
  local name=$1
  shift
  if [ "$mode" = net ]; then exec_prefix=(ip netns exec "$prefix-$name"); else exec_prefix=(); fi
  "${exec_prefix[@]}" env "${machine_env[@]}" "$@"
}

unplug() { ip -n "$prefix-switch" link set "p-$1" down; }
plug() { ip -n "$prefix-switch" link set "p-$1" up; }

# cantus_on NAME ARGS...: a command of the machine's owner, at the machine, on its own home.
cantus_on() {
  local name=$1
  shift
  on "$name" "$CANTUS" "$@" --home "$work/$name"
}

# ---- founding

account() { cantus_on "$1" account create "$2" --json | jq -r .address; }

certificates() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=test authority' \
    -keyout "$work/ca.key" -out "$work/ca.pem" 2>"$work/openssl.log"
  local name
  for name in "$@"; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$work/$name/tls.key" -out "$work/$name/tls.csr" 2>>"$work/openssl.log"
    openssl x509 -req -in "$work/$name/tls.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 2 \
      -extfile <(echo "subjectAltName=IP:${address[$name]}") -out "$work/$name/tls.pem" 2>>"$work/openssl.log"
  done
}

listens() { local a=${address[$1]}; echo "--rpc $a:26657 --p2p $a:26656 --grpc $a:9090 --rest $a:1317 --json-rpc $a:8545"; }
peer() { echo "${node_id[$1]}@${address[$1]}:26656"; }
genesis() { echo "$work/$1/ledger/config/genesis.json"; }

# tune NAME: quicker blocks, and snapshots often enough for a short test.
tune() {
  local config=$work/$1/ledger/config
  sed -i "s/^timeout_commit = .*/timeout_commit = \"$BLOCK_TIME\"/; s/^discovery_time = .*/discovery_time = \"5s\"/" "$config/config.toml"
  sed -i "s/^snapshot_interval = .*/snapshot_interval = ${SNAPSHOTS:-20}/" "$config/app.toml"
}

found() {
  local v=$1 g=$2 w=$3 i accounts=() loopback=() stakes=()
  validators=() gateways=() workers=()
  for i in $(seq "$v"); do validators+=("v$i"); machine "v$i" "$base.1.$i"; done
  for i in $(seq "$g"); do gateways+=("g$i"); machine "g$i" "$base.2.$i"; done
  for i in $(seq "$w"); do workers+=("w$i"); machine "w$i" "$base.3.$i"; done
  machine buyer "$base.5.1"
  mkdir -p "$work/logs"
  head -c 18 /dev/urandom | base64 > "$work/passphrase"
  certificates "${gateways[@]}"
  machine_env=("CANTUS_PASSPHRASE_FILE=$work/passphrase" "SSL_CERT_FILE=$work/ca.pem")

  for i in "${validators[@]}"; do accounts+=(--account "$(account "$i" validator)=110000note"); done
  for i in "${gateways[@]}"; do accounts+=(--account "$(account "$i" gateway)=100000note"); done
  # An operator of one's own for each worker, because nobody audits their own; all of the
  # operators' accounts are at the buyer's, where they are at hand.
  for i in "${workers[@]}"; do
    operator_of[$i]=$(account buyer "operator-$i")
    accounts+=(--account "${operator_of[$i]}=10000note")
  done
  accounts+=(--account "$(account buyer buyer)=100000note" "${extra_accounts[@]}")

  [ "$mode" = net ] || loopback=(--allow-loopback)
  cantus_on v1 ledger init --chain-id "$CHAIN_ID" "${accounts[@]}" "${loopback[@]}" \
    --from validator --stake 100000note --moniker v1 $(listens v1) > "$work/v1/identity"
  node_id[v1]=$(awk '/^node/ { print $2 }' "$work/v1/identity")
  # The windows of a public network are hours; --devnet would also drop blocks after minutes.
  jq --argjson w "$WINDOWS" --argjson r "${REQUEST_PARAMS:-{\}}" '.app_state.work.params += ($w | map_values(tostring)) | .app_state.requests.params += $r' "$(genesis v1)" > "$work/genesis.json"
  cp "$work/genesis.json" "$(genesis v1)"
  for ((i = 2; i <= v; i++)); do
    local peers=() j
    for ((j = 1; j < i; j++)); do peers+=(--peer "$(peer "v$j")"); done
    cantus_on "v$i" ledger join --genesis "$work/genesis.json" --moniker "v$i" "${peers[@]}" $(listens "v$i") > "$work/v$i/identity"
    node_id[v$i]=$(awk '/^node/ { print $2 }' "$work/v$i/identity")
    cantus_on "v$i" ledger stake --from validator --stake 100000note --moniker "v$i" > "$work/v$i/stake.json"
    stakes+=("$work/v$i/stake.json")
  done
  if [ "$v" -gt 1 ]; then
    cantus_on v1 ledger collect "${stakes[@]}"
    cp "$(genesis v1)" "$work/genesis.json"
    for ((i = 2; i <= v; i++)); do cantus_on "v$i" ledger join --genesis "$work/genesis.json" --replace-genesis >/dev/null; done
  fi
  for i in "${validators[@]}"; do tune "$i"; start "$i"; done
  for i in "${validators[@]}"; do await_height "$i" 3; done
  logged "$v validators make blocks"

  for i in "${gateways[@]}"; do
    cantus_on "$i" gateway register --from gateway --url "$(url "$i")" --fee 5 --grpc "$(grpc "$i")"
    start "$i"
  done
  for i in "${gateways[@]}"; do await_gateway "$i"; done
  local enrolling=()
  for i in "${workers[@]}"; do
    # One line, KEY=SIGNATURE and the address of the account that the worker sends with.
    local line=()
    if offers key --line; then line=(--line); fi
    on "$i" "$CANTUS_WORKER" key --home "$work/$i" --enroll "$CHAIN_ID,${operator_of[$i]}" "${line[@]}" | paste -sd= > "$work/$i/enrolment"
    worker_key[$i]=$(head -c 64 "$work/$i/enrolment")
    cantus_on buyer worker enroll "$(cat "$work/$i/enrolment")" --from "operator-$i" --network "AS6450${i#w}" --grpc "$(grpc buyer)" &
    enrolling+=($!)
  done
  for i in "${enrolling[@]}"; do wait "$i" || die "a worker could not be enrolled"; done
  for i in "${workers[@]}"; do start "$i"; done
  logged "$g gateways bonded, $w workers enrolled under operators of their own"
}

# grpc NAME: the validator that a machine asks. The crawl's gateway depends on v1.
grpc() {
  case $1 in
  g*) local n=${#validators[@]}; echo "${address[v$(((${1#g} - 1) % n + 1))]}:9090" ;;
  *) echo "${address[${validators[-1]}]}:9090" ;;
  esac
}
url() { echo "https://${address[$1]}:7600"; }

# offers COMMAND WHAT: whether cantus-worker's COMMAND has such a flag.
offers() { "$CANTUS_WORKER" "$1" --help 2>&1 | grep -E -- "$2" >/dev/null; }

# worker_flags WORKER: whom it works for, the first gateway first, and which node it asks to
# look after its pay.
worker_flags() {
  local g
  if offers start '--gateway strings'; then
    for g in "${gateways[@]}"; do echo "--gateway $(url "$g")"; done
    echo "--failover 5s"
  else
    echo "--gateway $(url g1)"
  fi
  if offers start '--ledger strings'; then
    echo "--ledger http://${address[${validators[-1]}]}:1317 --ledger-every 10s"
    [ "$mode" = loopback ] || echo "--insecure" # the node's REST has no certificate here
  fi
}

# ---- running

# start NAME: sets pid[NAME]. In a process group of its own, so that Ctrl-C reaches only us.
start() {
  local name=$1 a=${address[$1]} log=$work/logs/$1.log
  set -m
  case $name in
  v*) spawn "$log" cantus_home "$name" ledger start ;;
  g*) spawn "$log" cantus_home "$name" gateway start --from gateway --grpc "$(grpc "$name")" --listen "$a:7600" \
    --plane "$a:7601" --websocket "$a:7602" --tls-cert "$work/$name/tls.pem" --tls-key "$work/$name/tls.key" ;;
  w*)
    local extra=()
    [ "$mode" = net ] || extra=(--allow-loopback)
    spawn "$log" worker_home "$name" $(worker_flags "$name") --ca "$work/ca.pem" "${extra[@]}"
    ;;
  esac
  set +m
  pid[$name]=$!
  started+=($!)
}

cantus_home() { command_line=("$1" "$CANTUS" "${@:2}" --home "$work/$1"); }
worker_home() { command_line=("$1" env GOMAXPROCS=2 "$CANTUS_WORKER" start "${@:2}" --home "$work/$1"); }

# spawn LOG MAKER ARGS...: in the background, as a process that is the command itself and not
# a shell around it, so that killing it kills the command.
spawn() {
  local log=$1
  shift
  "$@"
  local where=()
  [ "$mode" = loopback ] || where=(ip netns exec "$prefix-${command_line[0]}")
  "${where[@]}" env "${machine_env[@]}" "${command_line[@]:1}" >>"$log" 2>&1 &
}

kill9() {
  kill -KILL "${pid[$1]}"
  wait "${pid[$1]}" 2>/dev/null || true
}

alive() { kill -0 "${pid[$1]}" 2>/dev/null; }

# rpc NODE PATH: a node's answer to a question over CometBFT's RPC.
rpc() { on "$1" curl -sf --max-time 5 "http://${address[$1]}:26657/$2"; }
height() { rpc "$1" status | jq -r '.result.sync_info.latest_block_height' 2>/dev/null || echo 0; }

await_height() {
  local try h
  for try in $(seq 600); do
    h=$(height "$1")
    [ "${h:-0}" -lt "$2" ] || return 0
    alive "$1" || { tail -30 "$work/logs/$1.log" >&2; die "$1 ended"; }
    sleep 0.2
  done
  tail -30 "$work/logs/$1.log" >&2
  die "$1 is at block ${h:-0} after two minutes, want $2"
}

await_gateway() {
  local try
  for try in $(seq 300); do
    if on "$1" curl -sf --max-time 5 --cacert "$work/ca.pem" "$(url "$1")/v1/info" >/dev/null; then return 0; fi
    alive "$1" || { tail -30 "$work/logs/$1.log" >&2; die "$1 ended"; }
    sleep 0.2
  done
  tail -30 "$work/logs/$1.log" >&2
  die "$1 does not answer"
}

# progress GATEWAY JOB FILTER: what a gateway says of a job; empty when it does not answer.
progress() { on buyer curl -sf --max-time 3 --cacert "$work/ca.pem" "$(url "$1")/v1/jobs/$2" 2>/dev/null | jq -r "$3" 2>/dev/null || true; }

# opened CRAWL-PID: the number of the job that the crawl which logs to logs/crawl.log has opened.
opened() {
  local job
  for _ in $(seq 300); do
    job=$(grep -h '"opened"' "$work/logs/crawl.log" 2>/dev/null | grep -o '"job":[0-9]*' | head -1 | grep -o '[0-9]*$' || true)
    [ -z "$job" ] || { echo "$job"; return 0; }
    kill -0 "$1" 2>/dev/null || { tail -5 "$work/logs/crawl.log" >&2; die "the crawl ended before its job was open"; }
    sleep 0.2
  done
  die "no job was opened within a minute"
}

# join_by_state_sync NAME: a node that is no validator takes the state from a snapshot that the
# others offer, on the word of v2 and v3. Sets earliest, its first block.
join_by_state_sync() {
  local name=$1 trust hash v peers=()
  machine "$name" "$base.1.${name#v}"
  trust=$(($(height v2) - 5))
  hash=$(rpc v2 "commit?height=$trust" | jq -r .result.signed_header.commit.block_id.hash)
  for v in "${validators[@]}"; do peers+=(--peer "$(peer "$v")"); done
  cantus_on "$name" ledger join --genesis "$work/genesis.json" --moniker "$name" "${peers[@]}" $(listens "$name") \
    --trust-height "$trust" --trust-hash "$hash" --trust-rpc "http://${address[v2]}:26657" --trust-rpc "http://${address[v3]}:26657"
  tune "$name"
  start "$name"
  await_height "$name" "$(height v2)"
  earliest=$(rpc "$name" status | jq -r .result.sync_info.earliest_block_height)
  [ "$earliest" -gt 1 ] || die "$name replayed every block: it has block $earliest"
}

# ---- what must hold at the end

# same_state NODE...: the same block and the same state after it on all of them.
same_state() {
  local h lowest= n first= this
  for n in "$@"; do h=$(height "$n"); if [ -z "$lowest" ] || [ "$h" -lt "$lowest" ]; then lowest=$h; fi; done
  for n in "$@"; do
    this=$(rpc "$n" "block?height=$lowest" | jq -r '.result | .block_id.hash + " " + .block.header.app_hash')
    [ -n "$this" ] || die "$n has no block $lowest"
    [ "${first:=$this}" = "$this" ] || die "at block $lowest $n has $this, $1 has $first"
  done
  logged "$* agree at block $lowest: app hash ${first#* }"
}

# money JOB: what the buyer escrowed went to the six parts, to the last anote, what the
# workers earned sums to their part, and the ledger's books balance.
money() {
  local file=$work/job-$1.json
  cantus_on buyer job show "$1" --json --grpc "$(grpc buyer)" > "$file"
  # jq counts in floating point, which is too coarse for anote: node has whole numbers of any size.
  node -e '
    const job = JSON.parse(require("fs").readFileSync(process.argv[1]));
    const names = ["workers", "gateway", "auditors", "royalties", "burned", "refunded"];
    const sum = list => list.reduce((a, b) => a + BigInt(b), 0n);
    console.log(`escrow ${job.escrow} = ${names.map(n => `${n} ${job[n]}`).join(" + ")}`);
    const fail = m => { console.error(m); process.exit(1); };
    if (sum(names.map(n => job[n])) !== BigInt(job.escrow)) fail(`the parts sum to ${sum(names.map(n => job[n]))}`);
    const earned = sum((job.earned ?? []).map(e => e.amount));
    if (earned !== BigInt(job.workers)) fail(`the workers earned ${earned}, their part is ${job.workers}`);
    if (!job.balanced) fail("the ledger says that it is not balanced");
    const units = (job.earned ?? []).reduce((a, e) => a + e.units, 0);
    if (units !== job.units) fail(`${job.units} units were settled, ${units} claimed`);
    if (job.false > 0) fail(`${job.false} receipts were found false, and nobody cheated`);
    const bad = job.epochs.filter(e => e.status !== "settled");
    if (bad.length) fail(`epochs that are not settled: ${JSON.stringify(bad)}`);
  ' "$file" || die "job $1 does not add up: $file"
}

books() {
  [ "$(cantus_on buyer status --json --grpc "$(grpc buyer)" | jq -r .books_ok)" = true ] || die "the ledger's books do not balance"
}

balances() { local w; for w in "${workers[@]}"; do cantus_on buyer account show "${operator_of[$w]}" --json --grpc "$(grpc buyer)" | jq -r .balance; done; }

# once DATASET: no address was fetched twice. Prints how many there are.
once() {
  local twice
  twice=$(sed 's/^[^{]*//' "$1/index.cdxj" | jq -r .url | sort | uniq -d | head -5)
  [ -z "$twice" ] || die "fetched twice: $twice"
  sed 's/^[^{]*//' "$1/index.cdxj" | jq -r 'select(.status == "200") | .url' | sort -u
}
