#!/usr/bin/env bash
# OpenAI's own client from npm, unchanged, against a gateway:
#
#   OPENAI_BASE_URL=https://…/v1 OPENAI_API_KEY=ck-… test/openai.sh
#
# Without OPENAI_BASE_URL it runs against the routes alone, behind which package openaitest
# answers. OPENAI_MODEL names a model; else the first one is taken.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
command -v node >/dev/null || { echo "node is not installed" >&2; exit 1; }
[ -d "$root/test/openai/node_modules" ] ||
  (cd "$root/test/openai" && npm ci --ignore-scripts --no-audit --no-fund --prefer-offline >/dev/null)
if [ -n "${OPENAI_BASE_URL:-}" ]; then
  cd "$root/test/openai"
  exec node all.mjs
fi
cd "$root"
exec go test -count=1 -run TestOpenAIClient -v ./kinds/infer/openai
