#!/usr/bin/env python3
"""Print what the gates of a site decide, and which decisions are missing. Needs paho-mqtt.

A missing decision was lost, or is still to come: after an outage the newest ones come first, and those that waited follow (`late`).
"""

import argparse
import json
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

MOST = 100_000  # a gate keeps no more for later (`outbox.most`)


@dataclass
class Numbers:
    """The numbers of one gate's decisions: the last one, and those before it that did not come."""

    last: int | None = None
    missing: set[int] = field(default_factory=set)

    def note(self, sequence: int, previous: int) -> str:
        """What a decision's number says: nothing, `late`, `again`, or which ones are missing."""
        if self.last is not None and sequence <= self.last:
            known = sequence in self.missing
            self.missing.discard(sequence)
            return "late" if known else "again"
        first, self.last = sequence if self.last is None else self.last + 1, sequence
        if first <= previous:
            self.missing = {number for number in self.missing if number > previous - MOST} | {
                *range(max(first, previous - MOST), previous + 1)
            }
        return f"missing: {first} to {previous}" if first <= previous else ""


def line(gates: dict[str, Numbers], topic: str, said: dict[str, Any]) -> str | None:
    """A message as a line of text; None for one that came before."""
    gate = topic.split("/")[3]
    numbers = gates.setdefault(gate, Numbers())
    if topic.endswith("/gap"):
        numbers.missing = {number for number in numbers.missing if not (said["first"] or 0) <= number <= (said["last"] or 0)}
        return f"{said['at']} {gate}: {said['decisions']} decisions will never come: {said['first']} to {said['last']} ({said['reason']})"
    note = numbers.note(said["sequence"], said["previous"])
    live = "" if said["live"] else ", not live"
    text = f"{said['decided_at']} {gate}: {said['decision']} {said['person'] or 'nobody'} ({said['reason']}{live}) {note}"
    return None if note == "again" else text.rstrip()  # at QoS 1 a message may come twice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path, help="for instance display.toml")
    path = parser.parse_args().settings
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": 1883} | tomllib.loads(path.read_text("utf-8"))
    gates: dict[str, Numbers] = {}
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)  # without a session: a display needs nothing that it missed
    if "password_file" in settings:
        client.username_pw_set(settings["username"], (path.parent / settings["password_file"]).read_text("utf-8").split("\n")[0])
    files = {name: str(path.parent / settings[name]) for name in ("ca_file", "cert_file", "key_file") if name in settings}
    if files:  # the broker of deploy/ takes the name in the certificate as the login
        client.tls_set(files["ca_file"], files.get("cert_file"), files.get("key_file"))

    def enter(client: paho.Client, userdata: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            sys.exit(f"the broker refused the login: {reason}")
        client.subscribe([(f"ostiary/v1/{settings['site']}/+/{leaf}", 1) for leaf in ("decision", "gap")])

    def hear(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        try:
            text = line(gates, message.topic, json.loads(message.payload))
        except (ValueError, KeyError, TypeError) as error:
            text = f"not understood, on {message.topic}: {error!r}"
        if text is not None:
            print(text, flush=True)

    client.on_connect, client.on_message = enter, hear
    client.on_connect_fail = lambda *_: print(f"no broker at {settings['host']}:{settings['port']}; trying again", flush=True)
    client.connect_async(settings["host"], settings["port"], keepalive=15)
    client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"watch.py: the settings cannot be used: {error!r}")
