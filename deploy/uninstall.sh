#!/usr/bin/env bash
# Take Ostiary off this machine. It lists what it will remove and asks first.
#   sudo deploy/uninstall.sh [--purge] [--yes] [--dry-run]
# Without --purge people, key, backups and configuration stay, and a new installation serves them.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: deploy/uninstall.sh [--purge] [--yes] [--dry-run]
  --purge    also remove the people, the key, the backups, the configuration, the broker's ostiary files, and the user
  --yes      do not ask
  --dry-run  only list
TEXT
}

purge=no yes=no dry=no
while [ $# -gt 0 ]; do
  case "$1" in
    --purge) purge=yes ;;
    --yes) yes=yes ;;
    --dry-run) dry=yes ;;
    -h|--help) usage; exit 0 ;;
    *) echo "uninstall.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done
if [ "$dry" = no ] && [ "$(id -u)" -ne 0 ]; then
  echo "uninstall.sh: this needs root; run it with sudo, or with --dry-run" >&2
  exit 1
fi

config=/etc/ostiary/config.toml state=/var/lib/ostiary key=""
named() { sed -nE "s/^$1 *= *[\"']([^\"']+)[\"'].*/\1/p" "$config" | head -n 1; }  # a key of the configuration that holds a path
if [ -r "$config" ]; then
  state="$(named state_dir)"
  state="${state:-/var/lib/ostiary}"
  key="$(named key_file)"
fi
# A configuration may name a folder that holds more than the store. What is not ours alone stays.
odd=""
if [ "$state" != /var/lib/ostiary ] && ! { [[ "$state" = /*/* ]] && [ -e "$state/gallery.sqlite" ]; }; then odd="$state" state=/var/lib/ostiary; fi
units=(ostiary.service ostiary-backup.timer ostiary-backup.service ostiary-audit.timer ostiary-audit.service ostiary-failed@.service)
program=(/opt/ostiary /usr/lib/sysusers.d/ostiary.conf /usr/lib/tmpfiles.d/ostiary.conf /var/cache/ostiary)
for unit in "${units[@]}"; do program+=("/etc/systemd/system/$unit"); done
for unit in ostiary-backup ostiary-audit; do program+=("/var/lib/systemd/timers/stamp-$unit.timer"); done
for name in ostiaryd ostiaryctl; do
  # A file of somebody else with this name is not ours to remove.
  case "$(readlink "/usr/local/bin/$name" || true)" in /opt/ostiary/*) program+=("/usr/local/bin/$name") ;; esac
done
# The drop-ins are the operator's own, as the configuration is.
data=("$state" /var/lib/ostiary-backup /etc/ostiary /etc/mosquitto/conf.d/ostiary.conf /etc/mosquitto/conf.d/ostiary-tls.conf
  /etc/mosquitto/ostiary.acl /etc/mosquitto/ostiary.passwd)
for unit in "${units[@]}"; do data+=("/etc/systemd/system/$unit.d"); done
if [ -e /etc/mosquitto/conf.d/ostiary-tls.conf ]; then data+=(/etc/mosquitto/certs/{ca.crt,broker.crt,broker.key}); fi

present() {
  local path
  for path in "$@"; do if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi; done
}
mapfile -t going < <(present "${program[@]}")
mapfile -t kept < <(present "${data[@]}")
has_user=no
if id ostiary >/dev/null 2>&1; then has_user=yes; fi

echo "the program:"
printf '  %s\n' "${going[@]:-nothing}"
if [ "$purge" = yes ]; then
  echo "the people, their templates, the key, the backups, the configuration and the passwords, FOR EVER:"
  printf '  %s\n' "${kept[@]:-nothing}"
  if [ "$has_user" = yes ]; then echo "  the user ostiary"; fi
else
  echo "these stay (--purge removes them):"
  printf '  %s\n' "${kept[@]:-nothing}"
  if [ "$has_user" = yes ]; then echo "  the user ostiary, who owns them"; fi
fi
if [ -n "$key" ] && [ "${key#/etc/ostiary/}" = "$key" ] && [ "${key#"$state"/}" = "$key" ]; then
  echo "not touched: the key that the configuration names, $key"
fi
if [ -n "$odd" ]; then echo "not touched: the state_dir that the configuration names, $odd, because no store is seen there"; fi
if [ "$dry" = yes ]; then exit 0; fi
if [ "$yes" = no ]; then
  if [ "$purge" = yes ]; then question="Type 'purge' to remove all this, people and key included: " wanted=purge
  else question="Type 'yes' to remove the program: " wanted=yes; fi
  answer=""
  read -r -p "$question" answer || true
  if [ "$answer" != "$wanted" ]; then echo "uninstall.sh: nothing is removed" >&2; exit 1; fi
fi

if [ -d /run/systemd/system ]; then
  for unit in "${units[@]}"; do
    if [ -e "/etc/systemd/system/$unit" ] && [[ "$unit" != *@* ]]; then systemctl disable --quiet --now "$unit" 2>/dev/null || true; fi
  done
fi
rm -rf -- "${program[@]}"
if [ "$purge" = yes ]; then
  rm -rf -- "${data[@]}"
  if [ "$has_user" = yes ]; then userdel ostiary; fi
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl reset-failed 'ostiary*' 2>/dev/null || true
  if [ "$purge" = yes ]; then systemctl try-restart mosquitto.service 2>/dev/null || true; fi
fi
echo "done. The journal keeps its lines until it is rotated; the broker's own queue (/var/lib/mosquitto) may hold messages and photos."
