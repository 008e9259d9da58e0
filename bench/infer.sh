#!/usr/bin/env bash
# bench/infer.sh: package exact/model beside llama.cpp on the same models, in one run
#
# Arguments go to bench/infer: -model 110M for the small one alone, -json FILE. Needs Node, 3 GB
# of disk in CANTUS_BENCH_MODELS (a temporary directory by default) and 4 GiB of memory.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
export GOFLAGS="-trimpath -tags=netgo -buildvcs=false"
for program in node npm; do command -v "$program" >/dev/null || { echo "bench/infer: $program is not installed" >&2; exit 1; }; done
dir=$(mktemp -d "${TMPDIR:-/tmp}/cantus-infer.XXXXXX")
trap 'rm -rf "$dir"' EXIT
models=${CANTUS_BENCH_MODELS:-$dir/models}
# The other platforms' and GPUs' programs, which are most of it, are left out; so it is not npm ci,
# which wants them all in the lock file.
cp bench/infer/{package.json,package-lock.json,llama.mjs} "$dir/"
(cd "$dir" && npm install --ignore-scripts --omit=optional --no-audit --no-fund --silent)
go build -o "$dir/infer" ./bench/infer
"$dir/infer" -dir "$models" -node "$dir" "$@"
