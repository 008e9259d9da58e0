#!/usr/bin/env bash
# bench/worker.sh: the size of cantus-worker and its resident memory when idle
set -euo pipefail
. "$(dirname "$0")/../test/lib.sh"
workplace bench-worker
home=$work/home

say "size"
ls -l "$root/bin/cantus-worker" "$root/bin/cantus" | awk '{ printf "%s %.1f MB\n", $NF, $5 / 1e6 }'

say "idle memory, after ${IDLE:-30} s"
network_up "$home"
sleep "${IDLE:-30}"
for pid in $(cat /proc/"$network_pid"/task/*/children); do
  echo "$(tr '\0' ' ' < "/proc/$pid/cmdline" | cut -c1-80): $(awk '/VmRSS/ { printf "%.1f MB", $2 / 1000 }' "/proc/$pid/status")"
done
