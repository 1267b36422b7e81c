#!/usr/bin/env python3
"""Write who passed into a CSV file, each decision once, also those that came while this program was off. Needs paho-mqtt.

The broker keeps decisions for its client id, because its session stays (`clean_session=False`, QoS 1). A decision is acknowledged after it
is on the disk. This is MQTT 3.1.1; with MQTT 5 give `clean_start=False` and a SessionExpiryInterval to `connect`.
"""

import argparse
import csv
import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

COLUMNS = ("event_id", "supersedes", "decided_at", "gate", "person", "decision", "reason")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path, help="for instance display.toml")
    parser.add_argument("table", type=Path, help="a CSV file, which this program continues")
    args = parser.parse_args()
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": 1883} | tomllib.loads(args.settings.read_text("utf-8"))
    old = args.table.read_text("utf-8") if args.table.exists() else ""
    written = {row["event_id"] for row in csv.DictReader(old.splitlines())}
    table = args.table.open("a", encoding="utf-8", newline="")
    writer = csv.DictWriter(table, COLUMNS, extrasaction="ignore", lineterminator="\n")
    if not old:
        writer.writeheader()
    elif not old.endswith("\n"):
        table.write("\n")  # a power cut came while the last row was written: the decision comes again
    client = paho.Client(CallbackAPIVersion.VERSION2, "time-tracking", clean_session=False, protocol=paho.MQTTv311)
    if "password_file" in settings:
        client.username_pw_set(settings["username"], (args.settings.parent / settings["password_file"]).read_text("utf-8").split("\n")[0])
    files = {name: str(args.settings.parent / settings[name]) for name in ("ca_file", "cert_file", "key_file") if name in settings}
    if files:  # the broker of deploy/ takes the name in the certificate as the login
        client.tls_set(files["ca_file"], files.get("cert_file"), files.get("key_file"))

    def enter(client: paho.Client, userdata: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            sys.exit(f"the broker refused the login: {reason}")
        client.subscribe(f"ostiary/v1/{settings['site']}/+/decision", qos=1)

    def hear(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        try:
            decision = json.loads(message.payload)
            # `live` does not matter here: somebody passed, and it became known late. What takes an accept back is a row too.
            if (decision["decision"] == "accept" or decision["supersedes"]) and decision["event_id"] not in written:
                writer.writerow(decision)
                table.flush()
                os.fsync(table.fileno())
                written.add(decision["event_id"])
        except (ValueError, KeyError, TypeError) as error:
            print(f"not understood, on {message.topic}: {error!r}", file=sys.stderr)
        # paho acknowledges when this function has returned: what is not on the disk comes again.

    client.on_connect, client.on_message = enter, hear
    client.on_connect_fail = lambda *_: print(f"no broker at {settings['host']}:{settings['port']}; trying again", flush=True)
    client.connect_async(settings["host"], settings["port"], keepalive=15)
    client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"time_tracking.py: settings or table cannot be used: {error!r}")
