#!/usr/bin/env bash
# Makes the demo model again, from the text of a package to models/demo/demo.cantus:
#
#   models/demo/train/run.sh [DIR]
#
# DIR (default: .demo-model) keeps what is made on the way; an interrupted run goes on from
# there. It needs Go, Python 3 with PyTorch (on Debian 12: apt-get install python3-torch
# libopenblas0-pthread; any later PyTorch does as well), and WordNet 3.0: $WORDNET names its
# directory, else it is fetched as Debian's package wordnet-base. About an hour of one
# processor. Other versions of PyTorch round differently: they make a model as good, with
# another root.
set -euo pipefail
cd "$(dirname "$0")/../../.."
dir=${1:-.demo-model}
mkdir -p "$dir"

python3 -c 'import torch' 2>/dev/null || {
  echo "train: Python has no PyTorch: apt-get install python3-torch libopenblas0-pthread" >&2
  exit 1
}

wordnet=${WORDNET:-/usr/share/wordnet}
if [ ! -e "$wordnet/cntlist.rev" ]; then
  wordnet=$dir/wordnet/usr/share/wordnet
fi
if [ ! -e "$wordnet/cntlist.rev" ]; then
  (cd "$dir" && apt-get download wordnet-base=1:3.0-37)
  deb=$(ls "$dir"/wordnet-base_*3.0-37_all.deb)
  echo "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752  $deb" | sha256sum -c --quiet
  dpkg -x "$deb" "$dir/wordnet"
fi

# Memory that is given back at once is taken anew for every tensor: four times as slow.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=100000000
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
python3 models/demo/train/train.py --wordnet "$wordnet" --out "$dir/cantus-demo"
go run ./models/demo/make -from "$dir/cantus-demo" -to models/demo
