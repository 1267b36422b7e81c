#!/usr/bin/env bash
# Gather everything that install.sh downloads in one folder, for a gate without a network. Run it on a machine with a network, g++ and
# python3-dev, the same processor architecture and the same Python as the gate's; no root is needed.
#   deploy/make-wheelhouse.sh [--cuda] [--python PYTHON] DIR        then, at the gate: sudo deploy/install.sh --wheelhouse DIR
set -euo pipefail

usage="usage: deploy/make-wheelhouse.sh [--cuda] [--python PYTHON] DIR"
extra=cpu python=python3 folder=""
while [ $# -gt 0 ]; do
  case "$1" in
    --cuda) extra=cuda ;;
    --python) python="${2:?--python needs a value}"; shift ;;
    -h|--help) echo "$usage"; exit 0 ;;
    -*) echo "make-wheelhouse.sh: unknown option $1" >&2; echo "$usage" >&2; exit 2 ;;
    *) folder="$1" ;;
  esac
  shift
done
if [ -z "$folder" ]; then echo "$usage" >&2; exit 2; fi
checkout="$(dirname "$(cd "$(dirname "$0")" && pwd)")"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip --disable-pip-version-check)
mkdir -p "$folder"
# The names of what the program needs, without the program: install.sh builds that from its own copy, and needs setuptools for it.
"$work/venv/bin/python" - "$checkout/pyproject.toml" "$extra" >"$work/wanted.txt" <<'PYTHON'
import sys
import tomllib
from pathlib import Path

read = tomllib.loads(Path(sys.argv[1]).read_text("utf-8"))
project = read["project"]
print(*read["build-system"]["requires"], *project["dependencies"], *project["optional-dependencies"][sys.argv[2]], sep="\n")
print("opencv-python-headless")  # for machines without a desktop: mend-opencv.sh
PYTHON
# hnswlib is compiled here. Without this setting it would use instructions that the gate's machine may not have.
HNSWLIB_NO_NATIVE=1 "${pip[@]}" wheel --quiet --constraint "$checkout/constraints.txt" --requirement "$work/wanted.txt" --wheel-dir "$folder"
echo "$(find "$folder" -name '*.whl' | wc -l) wheels, $(du -sh "$folder" | cut -f1): $folder"
echo "next step, at the gate: sudo deploy/install.sh --wheelhouse DIR$([ $extra = cuda ] && echo ' --cuda')"
