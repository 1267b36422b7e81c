#!/usr/bin/env bash
# Make logins at the broker on this machine, each with a random password. A login that is there stays as it is.
#   sudo deploy/make-logins.sh [--to FOLDER] LOGIN...        for instance gate-north badge-north door-north display hr console admin
# The password of gate-NAME becomes /etc/ostiary/mqtt-password-NAME, which the daemon reads; every other one becomes a file in
# /etc/ostiary/logins, which only root can read: carry it to where the login is used. With --to everything is put into FOLDER, for the users
# of the containers in compose.yaml.
set -euo pipefail
umask 077

passwords=/etc/mosquitto/ostiary.passwd secrets=/etc/ostiary broker=mosquitto
daemon=(-m 640 -o root -g ostiary)
if [ "${1:-}" = --to ]; then
  secrets="${2:?--to needs a folder}" passwords="$2/ostiary.passwd" broker=1883
  daemon=(-m 640 -o root -g 990)
  shift 2
fi
if [ $# -eq 0 ]; then echo "usage: deploy/make-logins.sh [--to FOLDER] LOGIN..." >&2; exit 2; fi
for login in "$@"; do
  if ! [[ "$login" =~ ^[A-Za-z0-9._-]{1,70}$ ]]; then
    echo "make-logins.sh: '$login' cannot be a login; use letters, digits, '.', '_' and '-'" >&2
    exit 2
  fi
done
if [ "$(id -u)" -ne 0 ]; then echo "make-logins.sh: this needs root; run it with sudo" >&2; exit 1; fi
for needed in mosquitto_passwd openssl; do
  command -v "$needed" >/dev/null || { echo "make-logins.sh: $needed is not installed: apt install mosquitto openssl" >&2; exit 1; }
done
[ "$broker" = 1883 ] || id ostiary >/dev/null 2>&1 || { echo "make-logins.sh: there is no user ostiary yet: run deploy/install.sh first" >&2; exit 1; }

install -d -m 700 "$secrets/logins"
touch "$passwords"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
for login in "$@"; do
  if grep -q "^$login:" "$passwords"; then
    echo "$login has a password already and keeps it"
    continue
  fi
  openssl rand -base64 24 >"$work/secret"
  printf '%s:%s\n' "$login" "$(cat "$work/secret")" >"$work/line"
  mosquitto_passwd -U "$work/line"  # the password itself never stands on a command line
  # The file first: a password that the broker knows and nobody else would have to be made again.
  case "$login" in
    gate-*) file="$secrets/mqtt-password-${login#gate-}"; install "${daemon[@]}" "$work/secret" "$file" ;;
    *) file="$secrets/logins/$login"; install -m 600 "$work/secret" "$file" ;;
  esac
  cat "$work/line" >>"$passwords"
  echo "$login: its password is in $file"
done
# mosquitto gives up root before it reads this file again.
chown "root:$broker" "$passwords"
chmod 640 "$passwords"
echo "next step: reload the broker (sudo systemctl reload mosquitto), or restart it the first time"
