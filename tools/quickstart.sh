#!/usr/bin/env bash
# From a fresh checkout to a distilled student: sets up .venv, then runs quickstart.py.
#   bash tools/quickstart.sh [--no-venv] [--seeds N] [--device auto|cpu|cuda]
#                            [--work-dir DIR] [--max-epochs N] [--jobs N]
# --no-venv uses the active python as it is; the rest goes to tools/quickstart.py.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
setup=(run)
options=()
for option in "$@"; do
  case $option in
    --no-venv) setup+=(--no-venv) ;;
    *) options+=("$option") ;;
  esac
done

source "$tools/setup_env.sh" "${setup[@]}"
exec "$PYTHON" "$tools/quickstart.py" ${options[@]+"${options[@]}"}
