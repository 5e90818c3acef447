#!/usr/bin/env bash
# Train on a Slurm cluster, with torchrun on every node:
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
# Environment: GPUS (all together, default 8), GPUS_PER_NODE (8), CPUS_PER_TASK (for
# each GPU, 5), PORT (29500), SRUN_ARGS (further options of srun).
set -euo pipefail

if [ $# -lt 4 ]; then
  echo "usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options]" >&2
  exit 2
fi
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
if [ "$GPUS" -lt "$GPUS_PER_NODE" ]; then
  GPUS_PER_NODE=$GPUS
elif [ $((GPUS % GPUS_PER_NODE)) -ne 0 ]; then
  echo "GPUS=$GPUS does not fill nodes of GPUS_PER_NODE=$GPUS_PER_NODE" >&2
  exit 2
fi
TOOLS=$(cd "$(dirname "$0")" && pwd)

# On every node, what Slurm knows becomes what dist_train.sh asks for.
ON_NODE='export NNODES=$SLURM_NNODES NODE_RANK=$SLURM_NODEID
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR
exec bash "$@"'
export PORT=${PORT:-29500}
# shellcheck disable=SC2086  # SRUN_ARGS are several words
exec srun --partition="$1" --job-name="$2" --nodes=$((GPUS / GPUS_PER_NODE)) \
  --ntasks-per-node=1 --gres="gpu:$GPUS_PER_NODE" \
  --cpus-per-task=$((${CPUS_PER_TASK:-5} * GPUS_PER_NODE)) --kill-on-bad-exit=1 \
  ${SRUN_ARGS:-} bash -c "$ON_NODE" on_node \
  "$TOOLS/dist_train.sh" "$3" "$GPUS_PER_NODE" --work-dir "$4" "${@:5}"
