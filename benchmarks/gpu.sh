#!/bin/sh
# Everything that needs a GPU, in one go and without a network: builds the plugins for the GPU in the machine, then errors
# against references, the GPU tests, compute-sanitizer, times. What it finds is written to OUTDIR.
#
#   benchmarks/gpu.sh OUTDIR
#
# Needs python3 with PyTorch for CUDA, torchvision, pytest, onnx and setuptools 77 or newer, and nvcc with compute-sanitizer
# of CUDA 13. Wheels in the folder that WHEELS names (default .whl) are used for what is missing.
set -eu
case ${1:-} in
"") echo "usage: benchmarks/gpu.sh OUTDIR" >&2; exit 2 ;;
esac
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=""

# step NAME COMMAND...: goes on after a failure, so that one run shows all there is; only the last lines are printed.
step() {
  name=$1
  shift
  echo "==> $name"
  begin=$(date +%s)
  if "$@" >"$out/$name.log" 2>&1; then verdict=ok; else verdict=FAILED failed="$failed $name"; fi
  tail -n 15 "$out/$name.log"
  echo "==> $name: $verdict, $(($(date +%s) - begin)) s"
}

sm=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
export TRTREG_CUDA_ARCHS="${TRTREG_CUDA_ARCHS:-$sm}"
export PYTHONPATH="$PWD:$work/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
pip="python3 -m pip --disable-pip-version-check install --quiet --no-deps --no-compile --upgrade --target $work/site"
wheels=${WHEELS:-.whl}
if [ -d "$wheels" ]; then $pip --no-index "$wheels"/*.whl; fi

# All packages at once: each takes one core.
build() {
  for project in plugin-packages/*/native; do
    plugin=$(basename "$(dirname "$project")")
    # The build writes beside the sources, so it gets its own copy of them.
    cp -r "plugin-packages/$plugin" "$work/$plugin"
    $pip --no-build-isolation --no-index "$work/$plugin" || touch "$work/failed" &
  done
  wait
  [ ! -e "$work/failed" ]
}
step build build
[ -z "$failed" ] || exit 1

step correctness python3 benchmarks/gpu_correctness.py --output "$out"
# The repository's settings turn warnings into errors; here other versions of everything may be installed.
step tests python3 -m pytest -m gpu -W default -p no:cacheprovider --durations=5 plugin-packages tests/testing/test_device.py
step speed python3 benchmarks/operators.py --output "$out"

[ -z "$failed" ] || { echo "==> failed:$failed"; exit 1; }
echo "==> all passed"
