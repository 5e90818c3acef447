#!/usr/bin/env bash
# Measures on one GPU, in under ten minutes, what no CPU can tell: a page and its JSON.
#   bash gpu_check.sh [OPTIONS OF python -m mmvitkd gpu-check]
# In a folder that tools/pack_gpu_check.sh has packed, it needs nothing but a Python with
# torch and torchvision (PYTHON names it), and no network. In a checkout, the environment
# that is active.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$(command -v "${PYTHON:-python3}")

if [ -d "$here/wheels" ]; then
  cd "$here" # whose data/ has the images
  if [ ! -f packages/ready ]; then
    # beside the Python's own packages, torch among them, which stay as they are
    rm -rf packages
    "$python" -m pip install --quiet --no-index --no-deps --target packages wheels/*.whl
    touch packages/ready
  fi
  export PYTHONPATH=$here/packages${PYTHONPATH:+:$PYTHONPATH}
else
  cd "$here/.."
  export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
fi
exec "$python" -m mmvitkd gpu-check "$@"
