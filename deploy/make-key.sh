#!/usr/bin/env bash
# Make a key for the store: 32 random bytes as 64 hexadecimal digits, in a file that only the caller can read. It never overwrites a file.
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
ln -T "$part" "$file"  # a complete file or none, and never in place of another key
sync "$(dirname "$file")"
