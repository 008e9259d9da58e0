#!/usr/bin/env bash
# Runs a command that knows the corpus' host names, and it alone:
#
#   test/corpus/with-hosts.sh DIR COMMAND...
#
# The command gets DIR/hosts as its /etc/hosts in a mount namespace of its own; the
# machine's file stays as it is. Keeps the process ID, so that the command can be
# signalled. `with-hosts.sh DIR` without a command says by its exit status whether this
# machine allows that (root, or user namespaces).
set -euo pipefail
dir=$(cd "${1:?usage: with-hosts.sh DIR COMMAND...}" && pwd)
shift
[ -s "$dir/hosts" ] || { echo "with-hosts: $dir/hosts is missing: run serve.sh start first" >&2; exit 1; }
flags=(--mount)
[ "$(id -u)" = 0 ] || flags+=(--map-root-user)
if [ $# = 0 ]; then
  exec unshare "${flags[@]}" mount --bind "$dir/hosts" /etc/hosts 2>/dev/null
fi
exec unshare "${flags[@]}" sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$dir/hosts" "$@"
