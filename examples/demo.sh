#!/bin/sh
# From a PyTorch detector to a TensorRT engine: demo.sh FOLDER. `make demo` runs it in the environment that it made.
set -eu
folder=$1
cd "$(dirname "$0")/.."

run() {
  printf '\n$ %s\n' "$*"
  "$@"
}

run python examples/detector.py "$folder/detector.onnx"
run trtreg list
run trtreg scan "$folder/detector.onnx"
run trtreg onnx2trt "$folder/detector.onnx" -o "$folder/detector.engine" \
  --shapes image:1x3x256x256/4x3x256x256/16x3x256x256
run trtreg info trtplugin-dcnv2
