#!/usr/bin/env bash
# Install or upgrade Ostiary on this machine, or take an upgrade back. You may run it again: it never changes an existing configuration.
#   sudo deploy/install.sh [OPTIONS]
#
# Every version has a folder of its own below /opt/ostiary/versions, with the program and the files of deploy/ that belong to it.
# /opt/ostiary/venv is a link to the one that serves.
set -euo pipefail
umask 022

usage() {
  cat <<'TEXT'
usage: deploy/install.sh [OPTIONS]
  --cuda, --cpu    ONNX Runtime for an NVIDIA GPU with the CUDA libraries, or for the CPU (default: as installed now, else the CPU)
  --python PYTHON  the Python that makes the virtual environment (default: python3)
  --wheelhouse DIR install without a network, from the folder that make-wheelhouse.sh made
  --keep N         how many versions to keep, with the one that serves and the one before it (default: 3)
  --unchecked      switch even if `ostiaryd check` fails with the new version
  --rollback       go back to the version before, and install nothing
  --list           show the installed versions, and change nothing
  --no-venv        only put the files of deploy/ in place, and no program
  --root DIR       put these files under DIR, and change no program, user or service (for tests)
  --dry-run        only print what would be done
Where systemd does not run (in an image), it makes user, files and program, but no key, and starts nothing.
TEXT
}

extra="" python=python3 venv=yes root="" dry=no wheelhouse="" keep=3 action=install checked=yes
while [ $# -gt 0 ]; do
  case "$1" in
    --cuda) extra=cuda ;;
    --cpu) extra=cpu ;;
    --python) python="${2:?--python needs a value}"; shift ;;
    --wheelhouse) wheelhouse="${2:?--wheelhouse needs a value}"; shift ;;
    --keep) keep="${2:?--keep needs a value}"; shift ;;
    --unchecked) checked=no ;;
    --rollback) action=rollback ;;
    --list) action=list ;;
    --no-venv) venv=no ;;
    --root) root="${2:?--root needs a value}"; venv=no; shift ;;
    --dry-run) dry=yes ;;
    -h|--help) usage; exit 0 ;;
    *) echo "install.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

fail() {
  echo "install.sh: $1" >&2
  if [ $# -gt 1 ]; then echo "  hint: $2" >&2; fi
  exit 1
}

run() {
  echo "+ $*"
  if [ "$dry" = no ]; then "$@"; fi
}

here="$(cd "$(dirname "$0")" && pwd)"
checkout="$(dirname "$here")"
home=/opt/ostiary config=/etc/ostiary/config.toml state=/var/lib/ostiary
current="$home/venv" previous="$home/previous" versions="$home/versions"
units=(ostiary.service ostiary-backup.service ostiary-backup.timer ostiary-audit.service ostiary-audit.timer ostiary-failed@.service)
booted=no
if [ -z "$root" ] && [ -d /run/systemd/system ]; then booted=yes; fi

if ! [[ "$keep" =~ ^[0-9]+$ ]] || [ "$keep" -lt 2 ]; then fail "--keep $keep is not a number from 2 on" "one version serves, and one is there to go back to"; fi
if [ -n "$wheelhouse" ]; then
  [ -d "$wheelhouse" ] || fail "$wheelhouse is not a folder" "make it with deploy/make-wheelhouse.sh on a machine with a network"
  wheelhouse="$(cd "$wheelhouse" && pwd)"
fi
if [ "$dry" = no ] && [ -z "$root" ] && [ "$action" != list ] && [ "$(id -u)" -ne 0 ]; then
  fail "this needs root; run it with sudo, or with --dry-run or --root DIR"
fi

# ---- versions

name_of() { basename "$(readlink -f "$1")"; }

point() {  # LINK FOLDER: in one step, so that a link always leads somewhere
  run ln -sfT "$2" "$1.new"
  run mv -T "$1.new" "$1"
}

list_versions() {  # complete ones, newest first
  local marker
  { ls -t "$versions"/*/share/ostiary/complete 2>/dev/null || true; } | while read -r marker; do dirname "$(dirname "$(dirname "$marker")")"; done
}

place_files() {  # FOLDER with the files of deploy/
  local unit
  run install -D -m 644 "$1/sysusers.d/ostiary.conf" "$root/usr/lib/sysusers.d/ostiary.conf"
  run install -D -m 644 "$1/tmpfiles.d/ostiary.conf" "$root/usr/lib/tmpfiles.d/ostiary.conf"
  for unit in "${units[@]}"; do run install -D -m 644 "$1/$unit" "$root/etc/systemd/system/$unit"; done
}

use_version() {  # FOLDER: from now on this one serves, after the next start
  if [ -d "$1/share/ostiary" ]; then place_files "$1/share/ostiary"; fi
  point "$current" "$1"
  if [ "$booted" = yes ]; then run systemctl daemon-reload; fi
}

comes_up() {  # the unit is Type=notify: systemctl waits for READY
  run systemctl restart ostiary.service || return 1
  if [ "$dry" = yes ]; then return 0; fi
  sleep 5  # a daemon that ends at once after it was ready has not come up either
  [ "$(systemctl show --property=ActiveState --value ostiary.service)" = active ] &&
    [ "$(systemctl show --property=NRestarts --value ostiary.service)" = 0 ]
}

serves() { case "$(systemctl show --property=ActiveState --value ostiary.service)" in active|activating|reloading) true ;; *) false ;; esac; }

switch() {  # FOLDER: use it, and go back by itself if it does not come up
  local from="" since
  if [ -L "$current" ]; then from="$(readlink -f "$current")"; fi
  trap '' HUP INT TERM  # a lost terminal must not end this halfway
  use_version "$1"
  if [ "$booted" = no ]; then
    echo "  systemd does not run here: nothing is started"
  elif [ "$dry" = no ] && ! serves; then
    echo "  ostiary.service did not run and is not started"
  else
    since="$(date '+%F %T')"
    if comes_up; then
      if [ "$dry" = no ]; then echo "  READY: ostiary.service serves with $(basename "$1")"; fi
    else
      echo "install.sh: $(basename "$1") does not come up. The journal says:" >&2
      journalctl --unit=ostiary.service --since="$since" --lines=12 --no-pager --output=cat >&2 || true
      if [ -z "$from" ] || [ "$from" = "$1" ]; then fail "there is no other version to go back to: the gate is closed" "journalctl -u ostiary"; fi
      use_version "$from"
      comes_up || fail "$(basename "$from"), the version before, does not come up either: the gate is closed" "journalctl -u ostiary"
      fail "the upgrade is taken back: $(basename "$from") serves again" "$(basename "$1") stays in $versions to look at"
    fi
  fi
  if [ -n "$from" ] && [ "$from" != "$1" ]; then point "$previous" "$from"; fi
  trap - HUP INT TERM
}

as_daemon() {  # COMMAND...: as the daemon's user, with the credentials that its unit has
  local line properties=()
  if [ "$booted" = yes ]; then
    while read -r line; do properties+=(--property="$line"); done < <(
      systemctl cat ostiary.service 2>/dev/null | grep -E '^(Load|Set)Credential(Encrypted)?=.' || true
    )
  fi
  if [ ${#properties[@]} -gt 0 ]; then
    run systemd-run --quiet --pipe --wait --collect --property=User=ostiary "${properties[@]}" "$@"
  else
    run runuser -u ostiary -- "$@"
  fi
}

# ---- what needs no build

if [ "$action" = list ]; then
  for folder in $(list_versions); do
    note=""
    if [ "$folder" = "$(readlink -f "$current")" ]; then note="serves"; fi
    if [ "$folder" = "$(readlink -f "$previous" || true)" ]; then note="before it: --rollback goes there"; fi
    echo "$(basename "$folder")  $(date -r "$folder/share/ostiary/complete" '+%F %T')  $note"
  done
  exit 0
fi

if [ -z "$root" ] && [ "$dry" = no ]; then
  mkdir -p "$home"
  exec 9>"$home/lock"
  flock -n 9 || fail "another install.sh is running" "wait until it is done"
fi

if [ "$action" = rollback ]; then
  [ -e "$previous/bin/python" ] || fail "there is no version before this one" "deploy/install.sh --list shows what there is"
  back="$(readlink -f "$previous")"
  echo "from $(name_of "$current") back to $(basename "$back")"
  switch "$back"
  exit 0
fi

[ -e "$checkout/pyproject.toml" ] || fail "$checkout is not Ostiary's source" "unpack the new version and run its deploy/install.sh; here only --rollback and --list work"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  fail "$python is not Python 3.11 or later; give one with --python"
fi

# ---- user and files. The user comes first, because other files belong to its group.

if [ -z "$root" ]; then
  run install -D -m 644 "$here/sysusers.d/ostiary.conf" /usr/lib/sysusers.d/ostiary.conf
  if command -v systemd-sysusers >/dev/null; then
    run systemd-sysusers /usr/lib/sysusers.d/ostiary.conf
  elif ! id ostiary >/dev/null 2>&1; then
    for group in video render; do run groupadd --force --system "$group"; done
    run useradd --system --home-dir "$state" --shell /usr/sbin/nologin --groups video,render ostiary
  fi
fi
run install -d -m 750 "$root/etc/ostiary"
if [ -e "$root$config" ]; then
  echo "  $root$config exists and stays unchanged"
else
  run install -m 640 "$here/config.toml" "$root$config"
fi
if [ -z "$root" ]; then
  run chgrp ostiary /etc/ostiary
  if [ "$dry" = yes ] || [ "$(stat -c %G "$config")" = root ]; then run chgrp ostiary "$config"; fi
  run install -d -m 700 -o ostiary -g ostiary "$state"
fi

# Make the key before there is a store, and never a second one. An image gets no key: two machines must not share one, and the daemon makes
# one at its first start. The script comes through standard input, because the daemon's user may be unable to read the checkout.
if [ "$booted" = yes ]; then
  if [ -e "$state/key" ] || [ -e "$state/gallery.sqlite" ]; then
    echo "  $state is in use: its key stays unchanged"
  else
    run runuser -u ostiary -- bash -s -- "$state/key" <"$here/make-key.sh"
  fi
fi

if [ "$venv" = no ]; then
  place_files "$here"
  if [ "$booted" = yes ]; then run systemctl daemon-reload; fi
  exit 0
fi

# ---- the program

if [ -z "$extra" ]; then
  extra=cpu
  if [ -x "$current/bin/python" ] && "$current/bin/python" -m pip show --quiet onnxruntime-gpu 2>/dev/null; then extra=cuda; fi
fi

# Build from a copy: what an earlier build left in the checkout would be installed again, also a module that is gone.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
(cd "$checkout" && tar --exclude=__pycache__ --exclude='*.egg-info' --sort=name --mtime=@0 --owner=0 --group=0 -c pyproject.toml README.md \
  constraints.txt daemon trainer deploy) >"$work/source.tar"
tar -x -C "$work/source" -f "$work/source.tar"
release="$(sed -n 's/^version = "\(.*\)"$/\1/p' "$checkout/pyproject.toml")"
digest="$({ cat "$work/source.tar"; echo "$extra"; "$python" -c 'import sys; print(sys.version, sys.prefix)'; } | sha256sum | cut -c1-12)"
new="$versions/$release-$digest"

if [ -e "$new/share/ostiary/complete" ]; then
  echo "  $new is there already"
else
  if [ -n "$wheelhouse" ]; then export PIP_NO_INDEX=1 PIP_FIND_LINKS="$wheelhouse"; fi
  run rm -rf "$new"
  run mkdir -p "$versions"
  run "$python" -m venv "$new"
  # hnswlib is compiled here. Without this setting it would use instructions that another gate's machine may not have.
  run env HNSWLIB_NO_NATIVE=1 "$new/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
    --constraint "$work/source/constraints.txt" "$work/source[$extra]"
  run "$here/mend-opencv.sh" "$new/bin/python" "$work/source/constraints.txt"
  run mkdir -p "$new/share"
  run cp -r "$work/source/deploy" "$new/share/ostiary"
  run touch "$new/share/ostiary/complete"
fi

# ---- the switch

if [ "$checked" = yes ] && [ "$booted" = yes ]; then
  echo "what the new version says to $config, before anything is switched:"
  as_daemon "$new/bin/ostiaryd" check --local --config "$config" ||
    fail "the new version cannot work with this configuration: nothing is switched" "mend what is marked with ✗ and run this again; --unchecked switches anyway"
fi

# No version converts a store: one that does not know the store's schema says so in `check` above. So going back needs no backup, but
# who has set up backups gets one more.
if [ "$booted" = yes ] && [ -e "$current/share/ostiary/complete" ] && [ -e /etc/ostiary/backup-passphrase ]; then
  run systemctl start ostiary-backup.service || fail "the backup before the switch failed: nothing is switched" "journalctl -u ostiary-backup"
fi

# An installation of before there were versions has its program where the link goes. It becomes the version to go back to.
if [ -d "$current" ] && [ ! -L "$current" ]; then
  run rm -rf "$versions/before"
  run mv -T "$current" "$versions/before"
  point "$current" "$versions/before"
fi

switch "$new"
for program in ostiaryd ostiaryctl; do
  link="/usr/local/bin/$program"
  if [ -e "$link" ] && [ "$(readlink "$link")" != "$current/bin/$program" ]; then
    echo "  $link is something else and stays unchanged"
  else
    run ln -sfT "$current/bin/$program" "$link"
  fi
done
if [ "$booted" = yes ]; then
  run systemd-tmpfiles --create /usr/lib/tmpfiles.d/ostiary.conf
  run systemctl enable --quiet ostiary.service ostiary-backup.timer ostiary-audit.timer
  run systemctl start ostiary-backup.timer ostiary-audit.timer
fi

# What is left of an installation that was cut off goes too.
stays=" $(readlink -f "$current") $(readlink -f "$previous" || true) $(list_versions | head -n "$keep" | tr '\n' ' ') "
for folder in "$versions"/*; do
  if [ "$dry" = no ] && [[ "$stays" != *" $folder "* ]]; then run rm -rf "$folder"; fi
done

if [ "$booted" = yes ] && [ "$dry" = no ] && serves; then exit 0; fi
cat <<'TEXT'
next steps:
  edit /etc/ostiary/config.toml
  set up the broker and its passwords as described in deploy/README.md
  sudo -u ostiary ostiaryd check --config /etc/ostiary/config.toml
  sudo systemctl start ostiary && systemctl status ostiary
TEXT
