#!/usr/bin/env bash
# bench/measured.sh: how often the test of the kind infer-measured errs, on llama.cpp, in one run
#
# Arguments go to bench/measured: -answers N, -tokens N, -json FILE. Needs Node and npm.
# CANTUS_STORIES names stories260K.gguf, another model to run on besides the demo model.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
export GOFLAGS="-trimpath -tags=netgo -buildvcs=false"
for program in node npm; do command -v "$program" >/dev/null || { echo "bench/measured: $program is not installed" >&2; exit 1; }; done
dir=$(mktemp -d "${TMPDIR:-/tmp}/cantus-measured.XXXXXX")
trap 'rm -rf "$dir"' EXIT
# The other platforms' and GPUs' programs, which are most of it, are left out; so it is not npm ci,
# which wants them all in the lock file.
cp test/backend/{package.json,package-lock.json,server.mjs} "$dir/"
(cd "$dir" && npm install --ignore-scripts --omit=optional --no-audit --no-fund --silent)
mkdir "$dir/models"
go build -o "$dir/measured" ./bench/measured
"$dir/measured" -node "$dir" -dir "$dir/models" -demo models/demo/demo.cantus -texts models/demo/kept.jsonl -stories "${CANTUS_STORIES:-}" "$@"
