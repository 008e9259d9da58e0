#!/usr/bin/env bash
# The tests of exact/ on other processors: cross-compiled and run under qemu-user, so that
# the golden hashes of logits are compared there as well.
#
#   test/exact-arch.sh             arm64 and riscv64
#   test/exact-arch.sh s390x       a big-endian one
#
# Needs qemu-user (Debian: apt install qemu-user). GOFLAGS should be those of the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."
archs=("$@")
[ ${#archs[@]} -gt 0 ] || archs=(arm64 riscv64)
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
for arch in "${archs[@]}"; do
  case $arch in
    arm64) qemu=qemu-aarch64 ;;
    amd64) qemu=qemu-x86_64 ;;
    *) qemu=qemu-$arch ;;
  esac
  command -v "$qemu" >/dev/null || { echo "exact-arch: $qemu is not installed: apt install qemu-user" >&2; exit 1; }
  for pkg in $(go list ./exact/...); do
    dir=$(go list -f '{{.Dir}}' "$pkg")
    [ -n "$(go list -f '{{join .TestGoFiles ""}}{{join .XTestGoFiles ""}}' "$pkg")" ] || continue
    CGO_ENABLED=0 GOARCH=$arch go test -c -o "$bin/test" "$pkg"
    (cd "$dir" && printf '%-8s %s: ' "$arch" "${pkg##*/}" && "$qemu" "$bin/test" -test.short -test.timeout 20m)
  done
done
