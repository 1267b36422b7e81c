#!/usr/bin/env bash
# Install Node-RED for the tests of deploy/integrations/node-red (120 MB in a cache folder). Otherwise say that they will be skipped.
set -u
version=4.1.15
place="${XDG_CACHE_HOME:-$HOME/.cache}/ostiary/node-red"
if grep -qs "\"version\": \"$version\"" "$place/node_modules/node-red/package.json"; then exit 0; fi
if ! command -v npm >/dev/null; then
  echo "Node-RED is not installed, and installing it needs npm: the tests of the Node-RED flow will be skipped"
  exit 0
fi
echo "installing Node-RED $version for the tests of its flow"
new="$place.new.$$"
mkdir -p "$new"
if said=$(npm install --prefix "$new" --no-audit --no-fund --omit=dev --ignore-scripts "node-red@$version" 2>&1); then
  rm -rf "$place"
  mv "$new" "$place"
else
  rm -rf "$new"
  echo "$said" | tail -n 3
  echo "Node-RED cannot be installed: the tests of its flow will be skipped"
fi
exit 0
