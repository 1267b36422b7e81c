#!/usr/bin/env bash
# Install the mosquitto broker for the tests if that needs no password. Otherwise say that the broker tests will be skipped.
set -u
PATH="$PATH:/usr/sbin"
command -v mosquitto >/dev/null && exit 0
sudo=()
if [ "$(id -u)" -ne 0 ]; then sudo=(sudo -n); fi
if command -v apt-get >/dev/null && "${sudo[@]}" true 2>/dev/null; then
  echo "installing mosquitto for the broker tests"
  # The package starts a service on port 1883. The tests do not need it, and nobody asked for it: RUNLEVEL=1 leaves it stopped.
  apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq)
  said=$({ "${apt[@]}" update && "${apt[@]}" install -y mosquitto mosquitto-clients; } 2>&1) || echo "$said" | tail -n 3
fi
command -v mosquitto >/dev/null || echo "mosquitto is not installed, and installing it needs apt and root: the broker tests will be skipped"
exit 0
