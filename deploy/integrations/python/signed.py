#!/usr/bin/env python3
"""Send a signed command about one person, to a gate with keys. Needs paho-mqtt and cryptography.

Exit status: 0 done, 1 refused, 2 bad input, 3 no broker or no answer.
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
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

# The narrowest topic that takes a command. What shuts somebody out has one of its own, on which nothing else can stand before it.
LANES = {"revoke": "command/revoke", "suspend": "command/revoke", "resume": "command/enrolment", "get": "command/enrolment"}


def sealed(key_file: Path, topic: str, command: dict[str, Any]) -> str:
    """The envelope of a command. The signature covers the topic, so nobody can send it to another gate."""
    name, secret = key_file.read_text("ascii").split()
    body = json.dumps(command)
    signature = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret)).sign(f"{topic}\0{body}".encode())
    return json.dumps({"key": name, "sig": base64.b64encode(signature).decode(), "body": body})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path, help="for instance hr.toml; `key` in it is a file of `ostiaryctl keygen`")
    parser.add_argument("op", choices=LANES)
    parser.add_argument("person", help="an employee number")
    args = parser.parse_args()
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": 1883, "timeout": 10} | tomllib.loads(args.settings.read_text("utf-8"))
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    if "password_file" in settings:
        client.username_pw_set(settings["username"], (args.settings.parent / settings["password_file"]).read_text("utf-8").split("\n")[0])
    files = {name: str(args.settings.parent / settings[name]) for name in ("ca_file", "cert_file", "key_file") if name in settings}
    if files:  # the broker of deploy/ takes the name in the certificate as the login
        client.tls_set(files["ca_file"], files.get("cert_file"), files.get("key_file"))
    gate = f"ostiary/v1/{settings['site']}/{settings['gate']}"
    topic, now = f"{gate}/{LANES[args.op]}", datetime.now(UTC)
    # Of two commands about a person the newer one counts. `revoke` and `suspend` never expire: they may wait for a gate that is off.
    times = {"issued_at": now.isoformat(), "expires_at": (now + timedelta(seconds=60)).isoformat()}
    command = {"command_id": str(uuid.uuid4()), "op": args.op, **times, "person": args.person}
    payload = sealed(args.settings.parent / settings["key"], topic, command)
    answers: queue.Queue[dict[str, Any] | str] = queue.Queue()

    def enter(client: paho.Client, userdata: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            answers.put(f"the broker refused the login: {reason}")
        else:
            client.subscribe(f"{gate}/result", qos=1)

    def publish(client: paho.Client, userdata: object, mid: int, reasons: list[Any], properties: object) -> None:
        client.publish(topic, payload, qos=1)  # not before the subscription stands, and never retained

    def published(client: paho.Client, userdata: object, mid: int, reason: Any, properties: object) -> None:
        if reason.is_failure:
            answers.put(f"this login may not write to {topic}: {reason}")

    def hear(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        answer = json.loads(message.payload)
        if answer["command_id"] == command["command_id"]:
            answers.put(answer)

    client.on_connect, client.on_subscribe, client.on_publish, client.on_message = enter, publish, published, hear
    try:
        client.connect(settings["host"], settings["port"])
        client.loop_start()
        answer = answers.get(timeout=settings["timeout"])
    except OSError as error:
        answer = f"no broker at {settings['host']}:{settings['port']} ({error}); check host, port and ca_file"
    except queue.Empty:
        answer = f"no answer from {gate} within {settings['timeout']} s: perhaps nothing has changed there; send it again"
    client.disconnect()
    if isinstance(answer, str):
        print(answer, file=sys.stderr)
        return 3
    print(f"{answer['status']}: {args.op} {args.person}", *(answer[k] for k in ("reason", "detail", "people") if answer.get(k)), sep=", ")
    return 0 if answer["status"] == "done" else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError) as error:
        print(f"signed.py: settings or key cannot be used: {error!r}", file=sys.stderr)
        sys.exit(2)
