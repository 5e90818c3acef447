#!/usr/bin/env bash
# Train with N processes on this machine, one for each GPU (or on CPUs without any):
#   bash tools/dist_train.sh CONFIG N [options of tools/train.py]
# On several machines, start it on each, with NNODES, NODE_RANK (0, 1, ...),
# MASTER_ADDR (of machine 0) and PORT in the environment.
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "usage: bash tools/dist_train.sh CONFIG N [options of tools/train.py]" >&2
  exit 2
fi
exec bash "$(dirname "$0")/torchrun.sh" "$2" train.py "$1" "${@:3}"
