#!/usr/bin/env bash
# Evaluate a checkpoint with N processes on this machine:
#   bash tools/dist_test.sh CONFIG CHECKPOINT N [options of tools/test.py]
# Several machines: as for tools/dist_train.sh.
set -euo pipefail

if [ $# -lt 3 ]; then
  echo "usage: bash tools/dist_test.sh CONFIG CHECKPOINT N [options of tools/test.py]" >&2
  exit 2
fi
exec bash "$(dirname "$0")/torchrun.sh" "$3" test.py "$1" "$2" "${@:4}"
