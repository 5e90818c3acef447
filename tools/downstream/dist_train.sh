#!/usr/bin/env bash
# Train a detector, a segmentor or a pose estimator with N processes on this machine:
#   bash tools/downstream/dist_train.sh CONFIG N [options of tools/downstream/train.py]
# Several machines: as for tools/dist_train.sh.
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: bash tools/downstream/dist_train.sh CONFIG N [options of train.py]" >&2
  exit 2
fi
exec bash "$(dirname "$0")/../torchrun.sh" "$2" downstream/train.py "$1" "${@:3}"
