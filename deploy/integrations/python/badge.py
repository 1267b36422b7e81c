#!/usr/bin/env python3
"""Say whose badge was shown at a gate, and wait for the gate's decision about the face. Needs paho-mqtt, and cryptography with a key.

The gate's mode must be verify or both. Exit status: 0 verified, 1 rejected, 2 bad input, 3 no broker or no decision. A reader's login may
not read answers to commands, so a claim that the gate refused ends as no decision; `ostiaryd audit` at the gate says why.
"""

import argparse
import base64
import json
import queue
import sys
import tomllib
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


def sealed(key_file: Path, topic: str, body: str) -> str:
    """The envelope of a command, for a gate with keys. `key_file` is of `ostiaryctl keygen`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    name, secret = key_file.read_text("ascii").split()
    signature = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret)).sign(f"{topic}\0{body}".encode())
    return json.dumps({"key": name, "sig": base64.b64encode(signature).decode(), "body": body})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path, help="for instance badge-north.toml")
    parser.add_argument("person", help="whose badge it is: an employee number")
    args = parser.parse_args()
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": 1883, "timeout": 10} | tomllib.loads(args.settings.read_text("utf-8"))
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    if "password_file" in settings:
        client.username_pw_set(settings["username"], (args.settings.parent / settings["password_file"]).read_text("utf-8").split("\n")[0])
    files = {name: str(args.settings.parent / settings[name]) for name in ("ca_file", "cert_file", "key_file") if name in settings}
    if files:  # the broker of deploy/ takes the name in the certificate as the login
        client.tls_set(files["ca_file"], files.get("cert_file"), files.get("key_file"))
    gate = f"ostiary/v1/{settings['site']}/{settings['gate']}"
    seconds = settings["timeout"]  # for so long the claim stands, 60 at most
    said: queue.Queue[dict[str, Any] | str] = queue.Queue()

    def enter(client: paho.Client, userdata: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            said.put(f"the broker refused the login: {reason}")
        else:
            client.subscribe(f"{gate}/decision", qos=1)

    def claim(client: paho.Client, userdata: object, mid: int, reasons: list[Any], properties: object) -> None:
        now = datetime.now(UTC)  # the claim's time runs from here on, so the clock must agree with the gate's
        times = {"issued_at": now.isoformat(), "expires_at": (now + timedelta(seconds=seconds)).isoformat()}
        command = {"command_id": str(uuid.uuid4()), "op": "verify", **times, "person": args.person, "seconds": seconds}
        topic, body = f"{gate}/command/verify", json.dumps(command)
        client.publish(topic, sealed(args.settings.parent / settings["key"], topic, body) if "key" in settings else body, qos=1)

    def published(client: paho.Client, userdata: object, mid: int, reason: Any, properties: object) -> None:
        if reason.is_failure:
            said.put(f"this login may not write to {gate}/command/verify: {reason}")

    def hear(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        decision = json.loads(message.payload)
        if decision["person"] == args.person and decision["live"]:
            said.put(decision)

    client.on_connect, client.on_subscribe, client.on_publish, client.on_message = enter, claim, published, hear
    try:
        client.connect(settings["host"], settings["port"])
        client.loop_start()
        decision = said.get(timeout=seconds + 2)
    except OSError as error:
        decision = f"no broker at {settings['host']}:{settings['port']} ({error}); check host, port and ca_file"
    except queue.Empty:
        decision = "no decision: nobody came, several faces were in view, or the gate refused the claim; show the badge again"
    client.disconnect()
    if isinstance(decision, str):
        print(decision, file=sys.stderr)
        return 3
    print(f"{decision['decision']}: {args.person} ({decision['reason']})")
    return 0 if decision["reason"] == "verified" else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError) as error:
        print(f"badge.py: the settings cannot be used: {error!r}", file=sys.stderr)
        sys.exit(2)
