#!/usr/bin/env python3
"""Enrol somebody with one photo, and print the gate's answer. Needs paho-mqtt.

Exit status: 0 enrolled, 1 refused, 2 bad input, 3 no broker or no answer.
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


def ask(client: paho.Client, settings: dict[str, Any], command: dict[str, Any]) -> dict[str, Any] | str:
    """The gate's answer to a command, or a line that says why there is none. It may be asked again: one command_id has one answer."""
    gate = f"ostiary/v1/{settings['site']}/{settings['gate']}"
    answers: queue.Queue[dict[str, Any] | str] = queue.Queue()

    def enter(client: paho.Client, userdata: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            answers.put(f"the broker refused the login: {reason}")
        else:
            client.subscribe(f"{gate}/result", qos=1)

    def publish(client: paho.Client, userdata: object, mid: int, reasons: list[Any], properties: object) -> None:
        # Only now, or the answer could come before anybody listens. Never retained: a gate refuses that.
        client.publish(f"{gate}/command/enrolment", json.dumps(command), qos=1)

    def published(client: paho.Client, userdata: object, mid: int, reason: Any, properties: object) -> None:
        if reason.is_failure:
            answers.put(f"this login may not write to {gate}/command/enrolment: {reason}")

    def hear(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        answer = json.loads(message.payload)
        if answer["command_id"] == command["command_id"]:  # others ask too
            answers.put(answer)

    client.on_connect, client.on_subscribe, client.on_publish, client.on_message = enter, publish, published, hear
    try:
        client.connect(settings["host"], settings["port"])
        client.loop_start()
        return answers.get(timeout=settings["timeout"])
    except OSError as error:
        return f"no broker at {settings['host']}:{settings['port']} ({error}); check host, port and ca_file"
    except queue.Empty:
        return f"no answer from {gate} within {settings['timeout']} s; does the gate run?"
    finally:
        client.disconnect()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path, help="for instance hr.toml")
    parser.add_argument("person", help="an employee number")
    parser.add_argument("photo", type=Path, help="a JPEG file")
    parser.add_argument("--name")
    args = parser.parse_args()
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": 1883, "timeout": 10} | tomllib.loads(args.settings.read_text("utf-8"))
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)  # over 3.1.1 a broker does not say that it refuses a message
    if "password_file" in settings:
        client.username_pw_set(settings["username"], (args.settings.parent / settings["password_file"]).read_text("utf-8").split("\n")[0])
    files = {name: str(args.settings.parent / settings[name]) for name in ("ca_file", "cert_file", "key_file") if name in settings}
    if files:  # the broker of deploy/ takes the name in the certificate as the login
        client.tls_set(files["ca_file"], files.get("cert_file"), files.get("key_file"))
    photo = args.photo.read_bytes()
    if not photo.startswith(b"\xff\xd8\xff") or len(photo) > 1_500_000:
        raise ValueError(f"{args.photo} is no JPEG file of at most 1.5 MB")
    now = datetime.now(UTC)
    times = {"issued_at": now.isoformat(), "expires_at": (now + timedelta(seconds=60)).isoformat()}  # 10 minutes at most
    command = {"command_id": str(uuid.uuid4()), "op": "enroll", **times, "person": args.person}
    command |= {"name": args.name} if args.name else {}
    answer = ask(client, settings, command | {"images": [base64.b64encode(photo).decode()]})
    if isinstance(answer, str):
        print(answer, file=sys.stderr)
        return 3
    print(f"{answer['status']}: {args.person}", *(answer[key] for key in ("reason", "detail") if answer[key]), sep=", ")
    return 0 if answer["status"] == "done" else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError) as error:
        print(f"enrol.py: settings or photo cannot be used: {error!r}", file=sys.stderr)
        sys.exit(2)
