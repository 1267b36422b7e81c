#!/bin/sh
# Measures the embedder on this machine's NVIDIA GPU and prints one table; arguments go to `python -m bench.gpu`.
#
#     bench/gpu.sh [--bundle FILE.onnx] [--data CROPS --split SPLIT.csv] [--out bench/gpu.md]
#
# The environment with ostiary[cuda] is made in .venv-cuda, once. OSTIARY_PYTHON names another interpreter that has it already.
# Exit codes: 0 measured; 69 there is no GPU or something is missing, and it says what; 70 the GPU failed.
set -eu
cd "$(dirname "$0")/.."
if ! ls /dev/nvidia[0-9]* >/dev/null 2>&1; then
    echo "nothing was measured: there is no NVIDIA GPU (no /dev/nvidia0)"
    exit 69
fi
python=${OSTIARY_PYTHON:-.venv-cuda/bin/python}
if [ ! -x "$python" ]; then
    if ! python3 -m venv .venv-cuda || ! .venv-cuda/bin/pip install --quiet -c constraints.txt -e '.[cuda]'; then
        rm -rf .venv-cuda
        echo "nothing was measured: ostiary[cuda] cannot be installed"
        exit 69
    fi
fi
exec "$python" -m bench.gpu "$@"
