#!/usr/bin/env bash
# Install or upgrade Ostiary on this machine. You may run it again: it never changes an existing configuration.
#   sudo deploy/install.sh [--cuda] [--python PYTHON] [--no-venv] [--root DIR] [--dry-run]
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: deploy/install.sh [OPTIONS]
  --cuda           install ONNX Runtime for an NVIDIA GPU, and the CUDA libraries, instead of the build for the CPU
  --python PYTHON  the Python that makes the virtual environment (default: python3)
  --no-venv        do not change /opt/ostiary/venv
  --root DIR       put files under DIR and do not change users and services (for images and tests)
  --dry-run        only print what would be done
TEXT
}

extra=cpu python=python3 venv=yes root="" dry=no
while [ $# -gt 0 ]; do
  case "$1" in
    --cuda) extra=cuda ;;
    --python) python="${2:?--python needs a value}"; shift ;;
    --no-venv) venv=no ;;
    --root) root="${2:?--root needs a value}"; shift ;;
    --dry-run) dry=yes ;;
    -h|--help) usage; exit 0 ;;
    *) echo "install.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

here="$(cd "$(dirname "$0")" && pwd)"
checkout="$(dirname "$here")"

run() {
  echo "+ $*"
  if [ "$dry" = no ]; then "$@"; fi
}

if [ "$dry" = no ] && [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
  echo "install.sh: this needs root; run it with sudo, or with --dry-run or --root DIR" >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "install.sh: $python is not Python 3.11 or later; give one with --python" >&2
  exit 1
fi

# The user comes first, because other files belong to its group.
run install -D -m 644 "$here/sysusers.d/ostiary.conf" "$root/usr/lib/sysusers.d/ostiary.conf"
run install -D -m 644 "$here/tmpfiles.d/ostiary.conf" "$root/usr/lib/tmpfiles.d/ostiary.conf"
if [ -z "$root" ]; then run systemd-sysusers /usr/lib/sysusers.d/ostiary.conf; fi

if [ "$venv" = yes ]; then
  if [ ! -x "$root/opt/ostiary/venv/bin/python" ]; then run "$python" -m venv "$root/opt/ostiary/venv"; fi
  # What an earlier build left there would be installed again, also a module that is gone.
  run rm -rf "$checkout/build"
  # ONNX Runtime comes as two packages with the same files. Where both were ever installed, neither is whole.
  case "$extra" in cpu) other=onnxruntime-gpu ;; *) other=onnxruntime ;; esac
  if [ "$dry" = no ] && "$root/opt/ostiary/venv/bin/python" -m pip show --quiet "$other" 2>/dev/null; then
    run "$root/opt/ostiary/venv/bin/python" -m pip uninstall --quiet --disable-pip-version-check --yes onnxruntime onnxruntime-gpu
  fi
  # hnswlib is compiled here. Without this setting it would use instructions that another gate's machine may not have.
  run env HNSWLIB_NO_NATIVE=1 "$root/opt/ostiary/venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade \
    --constraint "$checkout/constraints.txt" "$checkout[$extra]"
  run "$here/mend-opencv.sh" "$root/opt/ostiary/venv/bin/python" "$checkout/constraints.txt"
fi

run install -d -m 750 "$root/etc/ostiary"
if [ -e "$root/etc/ostiary/config.toml" ]; then
  echo "  $root/etc/ostiary/config.toml exists and stays unchanged"
else
  run install -m 640 "$here/config.toml" "$root/etc/ostiary/config.toml"
fi
run install -D -m 644 "$here/ostiary.service" "$root/etc/systemd/system/ostiary.service"

# Make the key before there is a store, and never a second one. An image (--root) gets no key: two machines must not share one, and the
# daemon makes one at its first start. The script comes through standard input, because the daemon's user may be unable to read the checkout.
state="$root/var/lib/ostiary"
if [ -z "$root" ]; then
  run install -d -m 700 -o ostiary -g ostiary "$state"
  if [ -e "$state/key" ] || [ -e "$state/gallery.sqlite" ]; then
    echo "  $state is in use: its key stays unchanged"
  else
    run runuser -u ostiary -- bash -s -- "$state/key" <"$here/make-key.sh"
  fi
fi

if [ -z "$root" ]; then
  run systemd-tmpfiles --create /usr/lib/tmpfiles.d/ostiary.conf
  run systemctl daemon-reload
  run systemctl enable ostiary.service
  if [ "$dry" = no ] && systemctl --quiet is-active ostiary.service; then run systemctl restart ostiary.service; fi
fi

cat <<TEXT
next steps:
  edit $root/etc/ostiary/config.toml
  set up the broker and its passwords as described in deploy/README.md
  sudo -u ostiary /opt/ostiary/venv/bin/ostiaryd check --config /etc/ostiary/config.toml
  sudo systemctl start ostiary && systemctl status ostiary
TEXT
