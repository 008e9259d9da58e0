#!/usr/bin/env bash
# bench/scale.sh: 2,000,000 workers in cells, and what a crawl of 100 billion pages takes
#
# Arguments go to bench/scale: -load FILE for the figures of a gateway that
# bench/load.sh -json FILE wrote, -workers, -json FILE. Takes about 1 GiB of memory.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS="-trimpath -tags=netgo -buildvcs=false"
exec go run ./bench/scale "$@"
