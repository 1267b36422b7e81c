#!/usr/bin/env bash
# Make a key for the store: 32 random bytes as 64 hexadecimal digits, readable by the caller alone. Never writes over a file.
#   deploy/make-key.sh FILE
set -euo pipefail
file="${1:?usage: make-key.sh FILE}"
umask 077
key="$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')"
[ "${#key}" -eq 64 ]
part="$(mktemp "$file.XXXXXX")"
trap 'rm -f "$part"' EXIT
printf '%s\n' "$key" >"$part"
sync "$part"
ln -T "$part" "$file"  # whole or not at all, and never over another key
sync "$(dirname "$file")"
