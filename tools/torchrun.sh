#!/usr/bin/env bash
# Starts N processes of one of our tools; what dist_train.sh and dist_test.sh share:
#   bash tools/torchrun.sh N train.py|test.py ARGUMENTS
# On several machines, it runs on each, with NNODES, NODE_RANK (0, 1, ...), MASTER_ADDR
# (of machine 0) and PORT in the environment.
set -euo pipefail

TOOLS=$(cd "$(dirname "$0")" && pwd)
if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
  MEETING=(--standalone) # any free port, so that several runs fit one machine
else
  MEETING=(--nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}"
    --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}")
fi
export PYTHONPATH="$(dirname "$TOOLS")${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m torch.distributed.run "${MEETING[@]}" \
  --nproc-per-node="$1" "$TOOLS/$2" "${@:3}" --launcher pytorch
