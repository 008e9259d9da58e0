#!/usr/bin/env bash
# Lets tools that were not written here read a dataset:
#
#   test/interop/run.sh DIR
#
# warcio.js reads every record of warc/*.warc.gz, with digests computed anew, and makes the
# index that index.cdxj must equal; hyparquet and DuckDB read pages.parquet and must agree
# with each other and with the index. Needs Node 20 and `npm ci` in this directory.
set -euo pipefail
dir=$(cd "${1:?usage: run.sh DIR}" && pwd)
cd "$(dirname "$0")"
[ -d node_modules ] || { echo "interop: run npm ci in $PWD first" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

node warc.mjs "$dir"

# The index that warcio makes of the same files, through its command line.
for f in "$dir"/warc/*.warc.gz; do
  node_modules/.bin/warcio index "$f" > "$work/index"
  node_modules/.bin/warcio cdx-index "$f" >> "$work/cdxj"
  echo "warcio index $(basename "$f"): $(wc -l < "$work/index") records"
done
LC_ALL=C sort -o "$work/cdxj" "$work/cdxj"
LC_ALL=C sort -c "$dir/index.cdxj" || { echo "interop: index.cdxj is not sorted" >&2; exit 1; }
node cdxj.mjs "$dir" "$work/cdxj"

node parquet.mjs "$dir"
echo "interop: ok"
