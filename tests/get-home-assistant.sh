#!/usr/bin/env bash
# Install Home Assistant for the tests, in an environment of its own: .venv-home-assistant, half a minute and 270 MB. If that fails, say that
# its tests will be skipped. Without --no-deps it would bring its cloud's and Bluetooth's libraries too, which no test uses.
set -u
cd "$(dirname "$0")/.."
place=.venv-home-assistant
there() { cmp -s tests/home-assistant.txt "$place/installed.txt"; }
there && exit 0
echo "installing Home Assistant for the tests with its schemas and its broker connection"
rm -rf "$place"
said=$({ "${PYTHON:-python3}" -m venv "$place" &&
  "$place/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --requirement tests/home-assistant.txt &&
  "$place/bin/python" -c 'import homeassistant.components.mqtt' && cp tests/home-assistant.txt "$place/installed.txt"; } 2>&1) || echo "$said" | tail -n 3
there || echo "Home Assistant is not installed, which needs Python 3.11 or 3.12 and PyPI: its tests will be skipped"
exit 0
