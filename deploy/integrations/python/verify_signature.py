#!/usr/bin/env python3
"""Print what a gate says, and whether it has signed it. Needs paho-mqtt and cryptography.

`gate_key` in the settings is a list of the gate's `public_key`. Take it from the gate's own computer (`ostiaryd check` shows it), not from
the broker.
"""

import argparse
import base64
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion


def signed(key: Ed25519PublicKey, topic: str, payload: bytes) -> bool:
    """Whether the gate with this key has said exactly this on this topic.

    The last member of the JSON is `sig`. It covers the topic, one zero byte, and the JSON without this member.
    """
    rest, mark, sig = payload.rpartition(b',"sig":"')
    try:
        key.verify(base64.b64decode(sig[:88], validate=True), topic.encode() + b"\0" + rest + b"}")
    except (InvalidSignature, ValueError):
        return False
    return bool(mark) and sig[88:] == b'"}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path, help="for instance display.toml")
    path = parser.parse_args().settings
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": 1883} | tomllib.loads(path.read_text("utf-8"))
    (text,) = settings["gate_key"]
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    if "password_file" in settings:
        client.username_pw_set(settings["username"], (path.parent / settings["password_file"]).read_text("utf-8").split("\n")[0])
    files = {name: str(path.parent / settings[name]) for name in ("ca_file", "cert_file", "key_file") if name in settings}
    if files:  # the broker of deploy/ takes the name in the certificate as the login
        client.tls_set(files["ca_file"], files.get("cert_file"), files.get("key_file"))

    def enter(client: paho.Client, userdata: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            sys.exit(f"the broker refused the login: {reason}")
        client.subscribe([(f"ostiary/v1/{settings['site']}/{settings['gate']}/{leaf}", 1) for leaf in ("decision", "status")])

    def hear(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        if not signed(key, message.topic, bytes(message.payload)):  # before anything of it is used
            print(f"FORGED, or of another gate: {message.topic}", flush=True)
            return
        said = json.loads(message.payload)
        print(f"signed: {message.topic} {said.get('decision') or said['state']}", flush=True)

    client.on_connect, client.on_message = enter, hear
    client.on_connect_fail = lambda *_: print(f"no broker at {settings['host']}:{settings['port']}; trying again", flush=True)
    client.connect_async(settings["host"], settings["port"], keepalive=15)
    client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"verify_signature.py: the settings cannot be used: {error!r}")
