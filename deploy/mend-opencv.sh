#!/usr/bin/env bash
# opencv-python links against the desktop's libGL, which servers and containers often lack. If the import fails for that reason, install the
# headless build of the same version instead. It is the same library without windows. Usage: mend-opencv.sh PYTHON CONSTRAINTS
set -eu
error=$("$1" -c 'import cv2' 2>&1) && exit 0
case "$error" in
  *"cannot open shared object file"*)
    echo "opencv-python needs a system library that is not installed (${error##*ImportError: }); installing its headless build instead"
    # Not --upgrade: both packages contain the same files, and the headless one must be installed last.
    "$1" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall --constraint "$2" opencv-python-headless
    exec "$1" -c 'import cv2'
    ;;
  *)
    echo "$error" >&2
    exit 1
    ;;
esac
