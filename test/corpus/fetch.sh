#!/usr/bin/env bash
# Unpacks documentation packages of Debian into DIR, without installing anything:
#
#   test/corpus/fetch.sh DIR
#
# A package that is there already is left alone, so DIR can be kept between runs.
# Needs apt-get and dpkg-deb; root is not needed.
set -euo pipefail
cd "$(dirname "$0")"
. ./sites.sh

dir=${1:?usage: fetch.sh DIR}
mkdir -p "$dir/deb" "$dir/root"
dir=$(cd "$dir" && pwd)

# apt may hold an index that is older than the archive: refresh it once, then retry.
download() {
  local try
  for try in 1 2 3 4; do
    if (cd "$dir/deb" && apt-get -qq -o APT::Sandbox::User=root download "$1"); then return 0; fi
    echo "corpus: no $1 yet (attempt $try of 4)" >&2
    [ "$(id -u)" != 0 ] || apt-get -qq update || true
    sleep $((try * 3))
  done
  echo "corpus: cannot download the Debian package $1; is there a Debian 12 mirror in /etc/apt?" >&2
  return 1
}

for package in $(sites | awk '{print $2}' | sort -u); do
  [ -e "$dir/deb/$package.done" ] && continue
  rm -f "$dir/deb/${package}"_*.deb
  download "$package"
  dpkg-deb -x "$dir/deb/${package}"_*.deb "$dir/root"
  rm -f "$dir/deb/${package}"_*.deb
  touch "$dir/deb/$package.done"
done
