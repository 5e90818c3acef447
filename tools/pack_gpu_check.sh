#!/usr/bin/env bash
# Packs what tools/gpu_check.sh needs on a machine that has torch and no network:
#   bash tools/pack_gpu_check.sh FOLDER [FASHION_MNIST]
# into FOLDER go gpu_check.sh, wheels (this package, the OneDL stack without compiled
# operations, what they need but torch) and data/fashion_mnist, its four files, which are
# taken from the folder FASHION_MNIST (default: data/fashion_mnist, or Debian's package).
# The wheels are for the Python that runs this (PYTHON names it): take the version of the
# machine with the GPU. About 250 MB.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$(command -v "${PYTHON:-python3}")
mkdir -p "$1"
folder=$(cd "$1" && pwd)

images=${2:-}
for found in data/fashion_mnist /usr/share/datasets/fashion-mnist; do
  [ -n "$images" ] || [ ! -d "$found" ] || images=$found
done
mkdir -p "$folder/data/fashion_mnist" "$folder/wheels"
for name in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
  file=$images/$name-ubyte.gz
  [ -f "$file" ] || { echo "pack_gpu_check: there is no '$file': give the folder of Fashion-MNIST" >&2; exit 1; }
  cp "$file" "$folder/data/fashion_mnist/"
done

cd "$root"
# all that pip would install, without installing it
"$python" -m pip install --quiet --dry-run --ignore-installed \
  --constraint requirements/constraints.txt --report "$folder/report.json" \
  --requirement requirements/onedl.txt --requirement requirements/report.txt \
  --requirement requirements/experiments.txt --requirement requirements/quantisation.txt
"$python" - "$folder/report.json" > "$folder/wheels.txt" << 'END'
import json, sys
own = ('torch', 'torchvision', 'triton', 'sympy', 'mpmath', 'networkx')  # come with torch
for one in json.load(open(sys.argv[1]))['install']:
    name, version = one['metadata']['name'].lower(), one['metadata']['version']
    if name not in own and not name.startswith(('nvidia', 'cuda-')):
        # the build that needs no libraries of a desktop
        name = name.replace('opencv-python', 'opencv-python-headless')
        print(f'{name}=={version}')
END
# where mmcv is built no torch is seen, so it has none of its compiled operations, which
# classification does not use; a build with them may be in pip's cache
"$python" -m pip wheel --quiet --no-cache-dir --no-deps --wheel-dir "$folder/wheels" \
  --requirement "$folder/wheels.txt" .
cp tools/gpu_check.sh "$folder/"
rm "$folder/report.json" "$folder/wheels.txt"
du -sh "$folder"
