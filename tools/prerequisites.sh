#!/bin/sh
# Checks what the Makefile takes for granted. Prints what the environments in build/ depend on, so that another Python
# or a moved checkout makes them anew.
python=$1

fail() {
  echo "trtreg: $1" >&2
  exit 1
}

[ "$(uname -s)" = Linux ] || fail "found $(uname -s), but TensorRT plugins are built on Linux only"
command -v "$python" > /dev/null || fail "there is no $python; install Python 3.10 to 3.13, or name one: make PYTHON=..."
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$python does not run"
case $version in
  3.10 | 3.11 | 3.12 | 3.13) ;;
  *) fail "$python is Python $version, expected 3.10 to 3.13; install one and name it: make PYTHON=python3.12 ..." ;;
esac
"$python" -c 'import ensurepip, venv' 2> /dev/null ||
  fail "$python cannot make virtual environments; apt install python$version-venv (or python3-venv)"
command -v "${CXX:-g++}" > /dev/null ||
  fail "there is no C++ compiler (${CXX:-g++}); apt install g++, or set CXX to one"

"$python" -c 'import sys; print("Python", sys.version.split()[0], "of", sys.base_prefix)'
pwd
