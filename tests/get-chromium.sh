#!/usr/bin/env bash
# Install chromium and its driver for the tests of the console's pages if that needs no password. Otherwise say that they will be skipped.
set -u
there() { command -v chromium >/dev/null && command -v chromedriver >/dev/null; }
there && exit 0
sudo=()
if [ "$(id -u)" -ne 0 ]; then sudo=(sudo -n); fi
if command -v apt-get >/dev/null && "${sudo[@]}" true 2>/dev/null; then
  echo "installing chromium for the tests of the console's pages"
  apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq)
  said=$({ "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends chromium chromium-driver; } 2>&1) || echo "$said" | tail -n 3
fi
there || echo "chromium is not installed, and installing it needs apt and root: tests in a browser will be skipped"
exit 0
