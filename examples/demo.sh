#!/bin/sh
# From a PyTorch detector to a TensorRT engine, through an index: demo.sh EXPORT-BIN DEMO-BIN WHEELS FOLDER, as `make demo`
# calls it. Of the two environments, one has PyTorch and the plugins' ops, as where a model is trained and a package
# is published; the other begins with trtreg and TensorRT-RTX only, as where the model is to run.
set -eu
export_bin=$1 demo_bin=$2 wheels=$3 folder=$4
cd "$(dirname "$0")/.."
path=$PATH

in_export() { PATH="$export_bin:$path" run "$@"; }
in_demo() { PATH="$demo_bin:$path" run "$@"; }
run() {
  printf '\n$ %s\n' "$*"
  "$@"
}

# What an earlier run has left. The wheels may be others now, and a published name never gets other bytes.
rm -rf "$folder/index" "$folder/cache"
"$demo_bin/python" -m pip uninstall --quiet --quiet --yes $(cd plugin-packages && ls -d trtplugin-*) 2> /dev/null
XDG_CACHE_HOME=$(pwd)/$folder/cache
export XDG_CACHE_HOME

echo; echo '# Where the model is trained, and plugins are published'
in_export python examples/detector.py "$folder/detector.onnx"
in_export trtreg index build $(sed "s|-|_|g; s|.*|$wheels/&-*.whl|" examples/plugins.txt) -o "$folder/index"

"$demo_bin/python" -u -m http.server --bind 127.0.0.1 --directory "$folder/index" 0 > "$folder/server.log" 2>&1 &
server=$!
trap 'kill $server' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
tries=100
until TRTREG_INDEX=$(sed -n 's/.*(\(http:[^)]*\)).*/\1/p' "$folder/server.log") && [ -n "$TRTREG_INDEX" ]; do
  tries=$((tries - 1))
  [ $tries -gt 0 ] && kill -0 $server 2> /dev/null || { cat "$folder/server.log" >&2; exit 1; }
  sleep 0.1
done
export TRTREG_INDEX

echo; echo '# Where it is to run: trtreg and TensorRT-RTX, and no plugin'
printf '\n$ export TRTREG_INDEX=%s\n' "$TRTREG_INDEX"
in_demo trtreg list
in_demo trtreg search deformable conv
in_demo trtreg scan "$folder/detector.onnx" || [ $? -eq 31 ] # the code that says that plugins are missing
in_demo trtreg install --for "$folder/detector.onnx"
in_demo trtreg scan "$folder/detector.onnx"
in_demo trtreg onnx2trt "$folder/detector.onnx" -o "$folder/detector.engine" \
  --shapes image:1x3x256x256/4x3x256x256/16x3x256x256
in_demo trtreg info trtplugin-dcnv2
