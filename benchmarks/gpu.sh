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

build() {
  for project in plugin-packages/*/pyproject.toml; do
    plugin=$(basename "$(dirname "$project")")
    # The build writes beside the sources, so it gets its own copy of them.
    cp -r "plugin-packages/$plugin" "$work/$plugin"
    $pip --no-build-isolation --no-index "$work/$plugin" || return 1
  done
  nvcc -std=c++17 -O2 -Itrtreg/sdk/include -o "$work/sanitize" benchmarks/sanitize.cpp -ldl
}
step build build
[ -z "$failed" ] || exit 1
libraries="$work/site/trtplugin_hswish/libtrtplugin_hswish.so $work/site/trtplugin_dcnv2/libtrtplugin_dcnv2.so"

step correctness python3 benchmarks/gpu_correctness.py --output "$out"
# The repository's settings turn warnings into errors; here other versions of everything may be installed.
step tests python3 -m pytest -m gpu -W default -p no:cacheprovider --durations=5 plugin-packages tests/testing/test_device.py
step speed python3 benchmarks/gpu_speed.py --output "$out"
for tool in memcheck racecheck synccheck initcheck; do
  case $tool in racecheck) count=20 ;; *) count=60 ;; esac
  # shellcheck disable=SC2086 # two words
  step "$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 "$work/sanitize" $libraries "$count"
done

[ -z "$failed" ] || { echo "==> failed:$failed"; exit 1; }
echo "==> all passed"
