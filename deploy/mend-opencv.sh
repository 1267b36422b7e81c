#!/usr/bin/env bash
# opencv-python links against the desktop's libGL, which servers and containers often lack. Where it cannot be imported for that reason,
# the headless build of the same version, which is the same without windows, takes its place. Usage: mend-opencv.sh PYTHON CONSTRAINTS
set -eu
error=$("$1" -c 'import cv2' 2>&1) && exit 0
case "$error" in
  *"cannot open shared object file"*)
    echo "opencv-python needs a system library that is not here (${error##*ImportError: }); installing its headless build instead"
    # Not --upgrade: the two packages hold the same files, and the last one installed must be the headless one.
    "$1" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall --constraint "$2" opencv-python-headless
    exec "$1" -c 'import cv2'
    ;;
  *)
    echo "$error" >&2
    exit 1
    ;;
esac
