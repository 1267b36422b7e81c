#!/usr/bin/env bash
# Make the certificates for mosquitto-tls.conf: the site's own authority, the broker, and one for each login. It never replaces a file.
#   deploy/make-certificates.sh FOLDER ca SITE                     ca.key, ca.crt; 10 years
#   deploy/make-certificates.sh FOLDER broker NAME_OR_ADDRESS...   broker.key, broker.crt; 825 days
#   deploy/make-certificates.sh FOLDER login LOGIN...              LOGIN.key, LOGIN.crt for each; 825 days
# Keep FOLDER on a machine of its own, without a network if you can: whoever has ca.key can be anybody.
set -euo pipefail
umask 077

fail() {
  echo "make-certificates.sh: $1" >&2
  exit "${2:-2}"
}

usage="usage: deploy/make-certificates.sh FOLDER ca SITE | FOLDER broker NAME_OR_ADDRESS... | FOLDER login LOGIN..."
[ $# -ge 3 ] || fail "$usage"
folder="$1" what="$2"
shift 2
for name in "$@"; do
  [[ "$name" =~ ^[A-Za-z0-9._:-]{1,64}$ && "$name" != .* ]] || fail "'$name' is not a name; use letters, digits, '.', '_' and '-'"
done
mkdir -p "$folder"
scratch="$(mktemp -d "$folder/.making.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT

absent() {
  local file
  for file in "$folder/$1.key" "$folder/$1.crt"; do
    [ ! -e "$file" ] && [ ! -L "$file" ] || fail "$file exists and stays unchanged; move it away to make a new one" 1
  done
}

# Both files appear whole, the key first. ln never replaces a file.
put() {
  ln "$scratch/$1.key" "$folder/$1.key"
  ln "$scratch/$1.crt" "$folder/$1.crt"
  echo "$folder/$1.crt"
}

# openssl reports its progress where it reports errors: show that only if something went wrong.
quietly() {
  "$@" 2>"$scratch/log" || { cat "$scratch/log" >&2; exit 1; }
}

new_key() {
  quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$scratch/$1.key"
}

# NAME, its use, and further lines about it
certify() {
  new_key "$1"
  printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature" "subjectKeyIdentifier=hash" \
    "authorityKeyIdentifier=keyid" "extendedKeyUsage=$2" "${@:3}" >"$scratch/$1.ext"
  quietly openssl req -new -key "$scratch/$1.key" -subj "/CN=$1" -out "$scratch/$1.csr"
  quietly openssl x509 -req -in "$scratch/$1.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -set_serial "0x4$(openssl rand -hex 15)" \
    -sha256 -days 825 -extfile "$scratch/$1.ext" -out "$scratch/$1.crt"
  put "$1"
}

if [ "$what" != ca ]; then
  [ -f "$folder/ca.key" ] && [ -f "$folder/ca.crt" ] || fail "$folder has no authority yet; run it with \`ca SITE\` first" 1
fi
case "$what" in
  ca)
    [ $# -eq 1 ] || fail "$usage"
    absent ca
    new_key ca
    quietly openssl req -x509 -new -key "$scratch/ca.key" -sha256 -days 3650 -subj "/CN=Ostiary $1" \
      -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" -out "$scratch/ca.crt"
    put ca
    ;;
  broker)
    absent broker
    names=""
    for name in "$@"; do
      if [[ "$name" =~ ^[0-9.]+$ || "$name" == *:* ]]; then names="$names,IP:$name"; else names="$names,DNS:$name"; fi
    done
    certify broker serverAuth "subjectAltName=${names#,}"
    ;;
  login)
    for name in "$@"; do
      [[ "$name" != *:* && "$name" != ca && "$name" != broker ]] || fail "'$name' cannot be a login"
      absent "$name"
    done
    for name in "$@"; do certify "$name" clientAuth; done
    ;;
  *) fail "$usage" ;;
esac
