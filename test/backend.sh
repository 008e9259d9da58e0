#!/usr/bin/env bash
# The kind infer-measured against llama.cpp from npm: answers, audits and hanging up
#
# CANTUS_TEST_BACKEND, if set, is a directory with server.mjs and its node_modules; else they are
# installed below TMPDIR.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
for program in node npm; do
  command -v "$program" >/dev/null || { echo "test/backend.sh: skipped: $program is not installed"; exit 0; }
done
if [ -z "${CANTUS_TEST_BACKEND:-}" ]; then
  dir=$(mktemp -d "${TMPDIR:-/tmp}/cantus-backend.XXXXXX")
  trap 'rm -rf "$dir"' EXIT
  cp "$root"/test/backend/{package.json,package-lock.json,server.mjs} "$dir/"
  # Not npm ci: the lock file leaves out the programs of other platforms.
  (cd "$dir" && npm install --ignore-scripts --omit=optional --no-audit --no-fund --silent) ||
    { echo "test/backend.sh: skipped: npm can't install llama.cpp here"; exit 0; }
  export CANTUS_TEST_BACKEND=$dir
fi
cd "$root"
go test -count=1 -run TestLlamaCpp -v ./kinds/infer/measured
