#!/usr/bin/env bash
# Evaluate a detector, a segmentor or a pose estimator with N processes on this machine:
#   bash tools/downstream/dist_test.sh CONFIG CHECKPOINT N [options of tools/downstream/test.py]
# Several machines: as for tools/dist_train.sh.
set -euo pipefail

if [ $# -lt 3 ]; then
  echo "usage: bash tools/downstream/dist_test.sh CONFIG CHECKPOINT N [options of test.py]" >&2
  exit 2
fi
exec bash "$(dirname "$0")/../torchrun.sh" "$3" downstream/test.py "$1" "$2" "${@:4}"
