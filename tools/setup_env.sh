#!/usr/bin/env bash
# Sets up, once, what the commands of this repository run in.
#   source tools/setup_env.sh PROFILE [--no-venv]   and $PYTHON is the interpreter to use
#   bash tools/setup_env.sh PROFILE [--no-venv]     only sets up
# PROFILE   run       .venv            torch, the OneDL stack, this package
#           dev       .venv-dev        + mmcv's compiled ops, mmdet, mmseg, mmpose,
#                                      test tools
#           official  .venv-official   the official OpenMMLab stack, test tools
# --no-venv installs nothing: the active `python` is checked and used as it is, with
#           this checkout on PYTHONPATH.
# Environment: PYTHON (the interpreter to start from), MMVITKD_CACHE (uv and built
#           wheels), MMVITKD_MIN_FREE_GB (overrides the disk check), MAX_JOBS,
#           MMVITKD_PROGRESS (seconds between lines that say how far it is).

mmvitkd_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "${BASH_SOURCE[0]}" != "$0" ]; then # sourced: do the work in a child
  bash "${BASH_SOURCE[0]}" "$@" || return 1
  case " $* " in
    *' --no-venv '*)
      PYTHON=$(command -v "${PYTHON:-python}")
      export PYTHON PYTHONPATH="$mmvitkd_root${PYTHONPATH:+:$PYTHONPATH}"
      ;;
    *)
      case " $* " in
        *' run '*) VIRTUAL_ENV=$mmvitkd_root/.venv ;;
        *' dev '*) VIRTUAL_ENV=$mmvitkd_root/.venv-dev ;;
        *) VIRTUAL_ENV=$mmvitkd_root/.venv-official ;;
      esac
      PYTHON=$VIRTUAL_ENV/bin/python
      export PYTHON VIRTUAL_ENV PATH="$VIRTUAL_ENV/bin:$PATH"
      ;;
  esac
  return 0
fi

set -euo pipefail

UV_VERSION=0.13.8
RETRIES=3

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# ---------------------------------------------------------------- the profiles

no_venv='' profile=''
for arg in "$@"; do
  case $arg in
    --no-venv) no_venv=1 ;;
    run | dev | official) profile=$arg ;;
    *) die "unknown argument '$arg': give run, dev or official, and --no-venv if you like" ;;
  esac
done

# venv_gb and cache_gb are what a first set-up was measured to take, rounded up; on
# one file system the venv is hard links into the cache.
case $profile in
  run)
    venv=.venv stack=onedl time='1 minute' venv_gb=6 cache_gb=6
    requirements='onedl digits report experiments export'
    modules='cv2 torch torchvision mmengine mmcv mmpretrain.models sklearn matplotlib
             pandas tabulate onnx onnxruntime onnxscript safetensors'
    ;;
  dev)
    venv=.venv-dev stack=onedl time='2 minutes' venv_gb=7 cache_gb=7
    requirements='onedl onedl-downstream digits report experiments export quantisation docs hubs readers tests onedl-dev'
    modules='cv2 torch torchvision mmengine mmcv mmpretrain.models sklearn matplotlib
             pandas tabulate onnx onnxruntime onnxscript safetensors submitit sphinx
             myst_parser mmcv.ops mmdet mmseg mmpose.datasets deepspeed timm transformers datasets webdataset simplejpeg mim
             pytest pytest_timeout xdist ruff mypy pre_commit setuptools pip
             websocket PySide6.QtWebEngineWidgets'
    ;;
  official)
    venv=.venv-official stack=official time='1 minute' venv_gb=6 cache_gb=6
    requirements='official digits report experiments export quantisation docs hubs readers tests official-dev'
    modules='cv2 torch torchvision mmengine mmcv mmpretrain.models sklearn matplotlib
             pandas tabulate onnx onnxruntime onnxscript safetensors submitit sphinx
             myst_parser timm transformers datasets webdataset simplejpeg mim pytest pytest_timeout xdist setuptools pip
             websocket PySide6.QtWebEngineWidgets'
    ;;
  *) die "which profile? Give run, dev or official" ;;
esac

# what the browser of the tests takes from the system: library:package
browser_libraries='libnss3.so:libnss3 libEGL.so.1:libegl1 libGL.so.1:libgl1
  libXcomposite.so.1:libxcomposite1 libXdamage.so.1:libxdamage1 libXi.so.6:libxi6
  libXrandr.so.2:libxrandr2 libXtst.so.6:libxtst6 libasound.so.2:libasound2
  libatomic.so.1:libatomic1 libdbus-1.so.3:libdbus-1-3 libfontconfig.so.1:libfontconfig1
  libfreetype.so.6:libfreetype6 libgbm.so.1:libgbm1 libglib-2.0.so.0:libglib2.0-0
  libgssapi_krb5.so.2:libgssapi-krb5-2 libxkbcommon.so.0:libxkbcommon0
  libxkbfile.so.1:libxkbfile1 libxshmfence.so.1:libxshmfence1'

cd "$mmvitkd_root"
constraints=requirements/constraints.txt
pinned() { sed -n "s/^$1==\([^ ;]*\).*/\1/p" "$constraints" | head -n 1; }

# Imports what the profile needs and names in one line what does not import.
check_imports() { # PYTHON, what to do about it
  # shellcheck disable=SC2086 # a list of words
  "$1" - "$2" "$stack" $modules <<'EOF'
import importlib
import importlib.metadata
import os
import sys
import warnings

remedy, stack, *modules = sys.argv[1:]


def installed(name):
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


def fail(message):
    print(f'setup: {message}; {remedy}', file=sys.stderr)
    sys.exit(1)


stacks = {'onedl': installed('onedl-mmengine'), 'official': installed('mmengine')}
if all(stacks.values()):
    fail(f'{sys.executable} has both onedl-mmengine and mmengine, which overwrite '
         'each other')
if not stacks[stack] and any(stacks.values()):
    fail(f'{sys.executable} has the other OpenMMLab stack than the {stack} one')
missing = []
os.environ['NO_ALBUMENTATIONS_UPDATE'] = '1'
with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken module may raise anything
            if str(error) == f'No module named {name!r}':
                missing.append(name)
                continue
            reason = (str(error).splitlines() or [''])[0]
            missing.append(f'{name} ({type(error).__name__}: {reason})')
if missing:
    fail(f'{sys.executable} cannot import ' + ', '.join(missing))
EOF
}

if [ -n "$no_venv" ]; then
  python=${PYTHON:-python}
  command -v "$python" > /dev/null || die "no '$python' on PATH: activate an environment"
  files=
  for name in $requirements; do files="$files -r requirements/$name.txt"; done
  hint="get it with: python -m pip install torch torchvision$files -c $constraints"
  [ "$profile" != dev ] || hint="$hint (mmcv.ops, mmpose and deepspeed: see docs/installation.md)"
  check_imports "$python" "$hint"
  exit 0
fi

# --------------------------------------------------------------- a second run

python=$venv/bin/python
stamp=$venv/mmvitkd-setup
fingerprint=$({
  echo "$profile $mmvitkd_root"
  cat tools/setup_env.sh pyproject.toml setup.py requirements/*.txt
} | cksum)
if [ -x "$python" ] && [ "$(cat "$stamp" 2> /dev/null)" = "$fingerprint" ]; then
  exit 0
fi

# --------------------------------------------- what must hold before it starts

[ ! -e "$venv" ] || [ -f "$stamp" ] ||
  die "$venv was not made by this script: move it away, or activate it and give --no-venv"

find_python() {
  local name
  for name in "${PYTHON:-python3}" python3.11 python3.12 python3.10; do
    "$name" -c 'import sys
if (3, 10) <= sys.version_info[:2] <= (3, 12): print(sys.executable)
else: sys.exit(1)' 2> /dev/null && return
    [ -z "${PYTHON:-}" ] || return 1
  done
  return 1
}
base=$(find_python) ||
  die "no Python 3.10, 3.11 or 3.12 (${PYTHON:-python3} is not one): install python3.11, or name one with PYTHON=..."
py=$("$base" -c 'import sys; print("py%d%d" % sys.version_info[:2])')

cache=${MMVITKD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmvitkd}
uv_cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/uv}
mmcv_wheels=$cache/wheels/$py-torch$(pinned torch)-mmcv$(pinned onedl-mmcv)
coco_wheels=$cache/wheels/$py-xtcocotools$(pinned xtcocotools)

# Is there a whole wheel with this compiled module?
built_wheel() { # FOLDER, MODULE
  local wheel
  for wheel in "$1"/*.whl; do
    [ -f "$wheel" ] || continue
    if "$base" -c 'import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
compiled = [n for n in archive.namelist() if n.startswith(sys.argv[2])]
sys.exit(bool(archive.testzip()) or not compiled)' "$wheel" "$2" 2> /dev/null; then
      echo "$wheel"
      return
    fi
    say "the cached $wheel is damaged: building it again"
    rm -f "$wheel"
  done
  return 1
}

mmcv_wheel() { built_wheel "$1" mmcv/_ext.; }
coco_wheel() { built_wheel "$1" xtcocotools/_mask.; }

need_compiler() { # LANGUAGE, COMMAND, ANOTHER, WHAT NEEDS IT
  command -v "${2%% *}" > /dev/null || command -v "$3" > /dev/null ||
    die "no $1 compiler (${2%% *} or $3), which $4 needs: install one, e.g. 'apt install g++'"
  "$base" -c 'import os, sys, sysconfig
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not os.path.exists(header))' ||
    die "$base has no Python.h, which $4 needs: install its headers, e.g. 'apt install python3-dev'"
}

need_libraries() { # LIBRARY:PACKAGE ...
  "$base" - "$@" <<'EOF'
import ctypes
import sys

missing = []
for pair in sys.argv[1:] if sys.platform == 'linux' else []:
    library, _, package = pair.partition(':')
    try:
        ctypes.CDLL(library)
    except OSError:
        missing.append((library, package))
if missing:
    libraries, packages = zip(*missing)
    print(f'setup: no {", ".join(libraries)}, which the browser of the tests needs: '
          f"install, e.g. 'apt install {' '.join(packages)}'", file=sys.stderr)
    sys.exit(1)
EOF
}
# shellcheck disable=SC2086 # a list of words
[ "$profile" = run ] || need_libraries $browser_libraries

mmcv='' coco=''
if [ "$profile" = dev ]; then
  mmcv=$(mmcv_wheel "$mmcv_wheels") || need_compiler C++ "${CXX:-g++}" c++ mmcv
  coco=$(coco_wheel "$coco_wheels") || need_compiler C "${CC:-gcc}" cc xtcocotools
fi

existing_parent() {
  local dir=$1
  while [ ! -e "$dir" ]; do dir=$(dirname "$dir"); done
  echo "$dir"
}
disk() { df -Pk "$(existing_parent "$1")" | awk -v column="$2" 'NR == 2 {print $column}'; }
need_space() { # DIR, GB
  local need=${MMVITKD_MIN_FREE_GB:-$2} free
  free=$(($(disk "$1" 4) / 1000000))
  [ "$free" -ge "$need" ] ||
    die "disk full: $1 has $free GB free and $need GB are needed (MMVITKD_MIN_FREE_GB=... sets another bound)"
}
need_space "$uv_cache" "$cache_gb"
[ "$(disk "$PWD" 1)" = "$(disk "$uv_cache" 1)" ] || need_space "$PWD" "$venv_gb"

# ------------------------------------------------------------------ the set-up

retry() {
  local try
  for ((try = 1; ; try++)); do
    "$@" && return
    [ "$try" -lt "$RETRIES" ] || return 1
    say "that failed; trying again ($((try + 1)) of $RETRIES)"
    sleep "$try"
  done
}
fetched='what was downloaded is kept, so the same command goes on from here'

# uv reads no pip configuration: hand pip's settings on to it.
pip_settings=$("$base" -m pip config list 2> /dev/null || true)
from_pip() { # UV'S VARIABLE, PIP'S SETTING
  local value
  value=$(printf '%s\n' "$pip_settings" | # the environment comes first
    sed -n "s/^[a-z:]*\.$2='\(.*\)'$/\1/p" | sed 's/\\n/ /g; s/^ *//; 1q')
  if [ -z "${!1:-}" ] && [ -n "$value" ]; then export "$1=$value"; fi
}
[ -n "${UV_INDEX_URL:-}" ] || from_pip UV_DEFAULT_INDEX index-url
[ -n "${UV_EXTRA_INDEX_URL:-}" ] || from_pip UV_INDEX extra-index-url
from_pip UV_FIND_LINKS find-links
from_pip UV_INSECURE_HOST trusted-host
from_pip SSL_CERT_FILE cert
export UV_INDEX_STRATEGY=${UV_INDEX_STRATEGY:-unsafe-best-match} # as pip does
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-120} UV_HTTP_RETRIES=${UV_HTTP_RETRIES:-5}
unset UV_NO_BUILD_ISOLATION UV_SYSTEM_PYTHON UV_PROJECT_ENVIRONMENT || true

# While a step works, a line every few seconds says that it does.
progress=${MMVITKD_PROGRESS:-8} beat='' doing=''
step() { doing=$1 && say "$1"; }
tell() { # A COMMAND THAT SAYS HOW FAR IT IS
  local began=$SECONDS
  # the sleep that is left over holds nobody's output open
  while sleep "$progress" < /dev/null > /dev/null 2>&1 && kill -0 $$ 2> /dev/null; do
    say "  $doing: $((SECONDS - began)) s, $("$@")"
  done &
  beat=$!
}
hush() {
  [ -n "$beat" ] || return 0
  { kill "$beat" && wait "$beat"; } 2> /dev/null || true
  beat=''
}
free_before=$(disk "$uv_cache" 4)
written() { echo "$(((free_before - $(disk "$uv_cache" 4)) / 1000)) MB written so far"; }
compiled() { echo "$(find "$scratch" -name '*.o' 2> /dev/null | wc -l) files compiled"; }

quiet=
[ -t 2 ] || quiet=--quiet
install() {
  [ -z "$quiet" ] || tell written # else uv draws bars
  # bytecode now, as pip does: without it every start of Python may compile all anew
  # shellcheck disable=SC2086 # $quiet may be nothing
  retry "$uv" pip install $quiet --compile-bytecode --python "$python" --constraints "$constraints" \
    --overrides requirements/overrides.txt "$@" || die "an installation failed; $fetched"
  hush
}

scratch=
trap 'hush; [ -z "$scratch" ] || rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$cache"
scratch=$(mktemp -d "$cache/tmp.XXXXXX")

started=$SECONDS
note="about $time with a fast network"
if [ "$profile" = dev ] && [ -z "$mmcv" ]; then
  note="$note, and about 14 CPU minutes, once, for mmcv's ops"
fi
say "making $venv for '$profile' with $base: $note, up to $cache_gb GB of disk"

uv=$cache/uv-$UV_VERSION/uv
if ! "$uv" --version > /dev/null 2>&1; then
  step "the installer, uv $UV_VERSION"
  tell written
  "$base" -m venv "$scratch/venv" > /dev/null 2>&1 ||
    die "$base cannot make a venv: install its venv module, e.g. 'apt install python3-venv'"
  retry "$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "uv==$UV_VERSION" || die "uv could not be downloaded; $fetched"
  hush
  mkdir -p "$(dirname "$uv")"
  mv -f "$scratch/venv/bin/uv" "$uv"
fi

if [ -e "$venv" ]; then
  say "$venv is unfinished or out of date: making it anew"
  rm -rf "$venv"
fi
mkdir "$venv"
echo unfinished > "$stamp"
"$uv" venv --quiet --allow-existing --python "$base" "$venv"

step "torch $(pinned torch) and torchvision"
install pip torch torchvision

# Compiles the pinned version with what the venv has, and keeps it. No pip cache, in
# which builds with and without ops have the same name.
build_wheel() { # PACKAGE, FOLDER, CHECK
  TMPDIR=$scratch "$python" -m pip wheel --quiet --disable-pip-version-check --no-cache-dir --no-deps \
    --no-build-isolation --no-binary "$1" --wheel-dir "$scratch/$1" \
    "$1==$(pinned "$1")" >&2 || die "$1 could not be built"
  "$3" "$scratch/$1" > /dev/null || die "$1 was built without its compiled part"
  mkdir -p "$2"
  mv -f "$scratch/$1"/*.whl "$2/"
  "$3" "$2"
}

if [ "$profile" = dev ] && [ -z "$mmcv" ]; then
  jobs=${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2)}
  step "compiling mmcv's ops with $jobs jobs: about $((14 / jobs + 1)) minutes, once"
  install -r requirements/mmcv-build.txt
  tell compiled
  # CPU ops, whatever the machine has: compiling for CUDA needs its toolkit
  mmcv=$(
    export PATH=$PWD/$venv/bin:$PATH CFLAGS='-O1 -g0' MAX_JOBS=$jobs CUDA_VISIBLE_DEVICES=''
    build_wheel onedl-mmcv "$mmcv_wheels" mmcv_wheel
  )
  hush
fi

if [ "$profile" = dev ] && [ -z "$coco" ]; then
  step 'compiling xtcocotools, which mmpose needs: a few seconds, once'
  install -r requirements/xtcocotools-build.txt
  tell compiled
  coco=$(build_wheel xtcocotools "$coco_wheels" coco_wheel)
  hush
fi

set --
for name in $requirements; do set -- "$@" -r "requirements/$name.txt"; done
[ -z "$mmcv" ] || set -- "$@" "$mmcv"
step "the $stack stack and the package"
install --editable . opencv-python-headless "$@"
if [ -n "$coco" ]; then
  install --no-deps -r requirements/onedl-pose.txt "$coco"
  # where onedl-mim looks for a package's configs and tools: beside its first file
  first=$("$python" -c 'from importlib.metadata import files
print(files("mmpose")[0].locate().parent)')
  [ -e "$first/.mim" ] || ln -s ../mmpose/.mim "$first/.mim"
  install --no-deps --no-build-isolation-package deepspeed -r requirements/deepspeed.txt
fi

step 'checking that everything imports'
tell written
check_imports "$python" 'please report it'
hush
echo "$fingerprint" > "$stamp"
say "$venv is ready after $((SECONDS - started)) s"
