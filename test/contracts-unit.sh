#!/usr/bin/env bash
# The Solidity package's own tests: base contract, mock and examples, in a machine in memory.
# Needs Node and npm.
set -euo pipefail
cd "$(dirname "$0")/../contracts"
[ -d node_modules/@ethereumjs/evm ] || npm ci --ignore-scripts --no-audit --no-fund --silent --prefer-offline
node compile.mjs -check
npm test
