#!/usr/bin/env bash
# Sets up what the tests need, then runs static checks and the tests.
#   bash tools/run_tests.sh [--all|--slow] [--no-venv] [--stack onedl|official] [PYTEST ARGUMENTS]
# With --all the slow tests, too, of whole programs, with --slow these alone, without the
# checks. On the official stack only what it can run is tested: classification.
# --minutes N, as any argument of pytest's behind these, skips what would begin later.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stack=onedl no_venv='' marks='not slow'
while [ $# -gt 0 ]; do
  case $1 in
    --all) marks='' && shift ;;
    --slow) marks='slow' && shift ;;
    --no-venv) no_venv=--no-venv && shift ;;
    --stack) stack=${2:-} && shift $(($# > 1 ? 2 : 1)) ;;
    *) break ;;
  esac
done
case $stack in
  onedl) profile=dev ;;
  official) profile=official ;;
  *) echo "run_tests: --stack is onedl or official, not '$stack'" >&2 && exit 2 ;;
esac

# shellcheck source=tools/setup_env.sh
source tools/setup_env.sh "$profile" ${no_venv:+"$no_venv"}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# a worker a core, up to what memory allows; a file's tests stay together, and one that
# ends its worker is begun anew with it, once
workers=$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2)
set -- -n "$((workers < 4 ? workers : 4))" --dist loadfile --max-worker-restart 1 "$@"

if [ "$stack" = official ]; then
  marks="${marks:+$marks and }not onedl_only"
elif [ "$marks" != slow ]; then
  "$PYTHON" -m ruff check .
  "$PYTHON" -m ruff format --check .
  "$PYTHON" -m mypy
  "$PYTHON" -m pre_commit validate-config
fi
exec "$PYTHON" -m pytest -m "$marks" "$@"
