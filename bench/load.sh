#!/usr/bin/env bash
# bench/load.sh: 10,000 workers on one gateway: rate, latencies, memory, a reconnect storm, nothing lost
#
# Arguments go to bench/load: -for 60s for a short run (default ten minutes), -workers, -batch,
# -think, -json FILE. Needs about 12 GiB of memory, most of it for the simulated workers.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
export GOFLAGS="-trimpath -tags=netgo -buildvcs=false"
ulimit -n "$(ulimit -Hn)"
dir=$(mktemp -d "${TMPDIR:-/tmp}/cantus-load.XXXXXX")
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/load" ./bench/load
"$dir/load" -dir "$dir/state" "$@"
