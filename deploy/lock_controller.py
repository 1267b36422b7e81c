#!/usr/bin/env python3
"""A reference for lock controllers: it opens on a fresh, signed, live accept of one gate, once, and on nothing else.

    lock_controller.py --site acme --gate north --gate-key KEY --state north.json --open 'gpioset 0 17=1' --relock 'gpioset 0 17=0'

KEY is the gate's `public_key`. Take it from the gate's own computer (`ostiaryd check` shows it), not from the broker: broker and network
are not trusted. They may drop, hold up, repeat, reorder and invent messages. lock-controller.md has the reasons, and the same for a
microcontroller. Needs paho-mqtt and cryptography, and nothing of Ostiary.
"""

import argparse
import base64
import json
import logging
import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion

SILENCE_S = 90.0  # the gate says its status every 30 s
LONGEST_S = 10.0  # no accept is good for longer
AHEAD_S = 2.0  # the gate's first message may have come faster than those that taught us its clock
LEARNT_S = 600.0  # after this time a step of the gate's clock is forgotten
SKEW_S = 5.0  # the gate's clock and this machine's may differ by this much

log = logging.getLogger("lock")


class Lock:
    """Decides what one message means. Times are seconds: `now` on a clock that never steps and runs on while the machine sleeps, `wall` in
    UTC. `sequence` is the highest that was seen, `keep` stores it."""

    def __init__(self, site: str, gate: str, key: Ed25519PublicKey, sequence: int, keep: Callable[[int], None]) -> None:
        self.gate, self.key, self.sequence, self.keep = gate, key, sequence, keep
        self.decisions, self.statuses = (f"ostiary/v1/{site}/{gate}/{leaf}" for leaf in ("decision", "status"))
        self.offsets: deque[tuple[float, float]] = deque()  # when a status came, and how far `now` was from the time in it
        self.opened: str | None = None

    def hear(self, topic: str, payload: bytes, retained: bool, now: float, wall: float) -> str:
        """What to do about a message: `open`, `relock`, or why nothing."""
        said = self.signed(topic, payload)
        if said is None:
            return "forged, or not of this gate"
        try:
            return self.status(said, retained, now) if topic == self.statuses else self.decision(said, retained, now, wall)
        except (KeyError, TypeError, ValueError, OverflowError):
            return "not understood"

    def signed(self, topic: str, payload: bytes) -> dict[str, Any] | None:
        """The message, if this gate has signed it for this topic: `sig` is the last member and covers topic, NUL and the rest."""
        rest, mark, sig = payload.rpartition(b',"sig":"')
        try:
            if topic not in (self.decisions, self.statuses) or not mark or sig[88:] != b'"}':
                return None
            self.key.verify(base64.b64decode(sig[:88], validate=True), topic.encode() + b"\0" + rest + b"}")
            said = json.loads(rest + b"}")
        except (InvalidSignature, ValueError, RecursionError):
            return None
        return said if isinstance(said, dict) else None

    def status(self, said: dict[str, Any], retained: bool, now: float) -> str:
        """Learn the gate's clock. A message that was held up shows a larger difference, so the smallest one is the best."""
        if said["online"] is not True:
            self.offsets.clear()
            return "the gate is offline"
        if not retained:
            self.offsets.append((now, now - epoch_s(said["at"])))
        return "heard"

    def decision(self, said: dict[str, Any], retained: bool, now: float, wall: float) -> str:
        sequence = said["sequence"]
        if said["decision"] != "accept" and said["supersedes"] is not None and said["supersedes"] == self.opened:
            self.opened = None  # a relock is never late
            self.note(sequence)
            return "relock"
        if retained or type(sequence) is not int or sequence <= self.sequence:
            return "repeated, or older than another one"
        self.note(sequence)  # before anything opens: after a crash the same message opens nothing
        if said["decision"] != "accept":
            return "no accept"
        if said["gate"] != self.gate or said["live"] is not True or said["clock_trusted"] is not True:
            return "not live"
        while self.offsets and now - self.offsets[0][0] > LEARNT_S:
            self.offsets.popleft()
        if not self.offsets or now - self.offsets[-1][0] > SILENCE_S:
            return "no status of the gate for too long"
        there = now - min(offset for _, offset in self.offsets)  # the gate's clock, as far as we know: never ahead of it
        decided, until = epoch_s(said["decided_at"]), epoch_s(said["valid_until"])
        if abs(wall - there) > SKEW_S:
            return "this machine's clock and the gate's differ"
        if not decided - AHEAD_S <= there < until or until > decided + LONGEST_S:
            return "late, or from the future"
        self.opened = str(said["event_id"])
        return "open"

    def note(self, sequence: int) -> None:
        if sequence > self.sequence:
            self.keep(sequence)
            self.sequence = sequence


def epoch_s(text: str) -> float:
    """UTC seconds of a time as the gate writes it. Raises ValueError, TypeError."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(text)
    return instant.timestamp()


def kept(path: Path, key: str) -> int:
    """The highest sequence seen of the gate with this key; 0 for one with another key. Raises OSError, ValueError."""
    state = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return int(state["sequence"]) if state.get("key") == key else 0


def keep(path: Path, key: str, sequence: int) -> None:
    """Write it so that it is there after a power cut. Raises OSError."""
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump({"key": key, "sequence": sequence}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Open a lock on the accepts of one gate.")
    for name in ("site", "gate", "gate-key", "state", "open"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("relock", "username", "password-file", "ca-file", "cert-file", "key-file"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    state = Path(args.state).absolute()
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(args.gate_key, validate=True))
        lock = Lock(args.site, args.gate, key, kept(state, args.gate_key), lambda sequence: keep(state, args.gate_key, sequence))
        if not state.exists():
            keep(state, args.gate_key, 0)  # better now than when somebody stands at the door
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"lock_controller.py: --gate-key or --state cannot be used ({error!r}); the key is 32 bytes in base64")

    moving: list[subprocess.Popen[bytes]] = []

    def hear(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        said = lock.hear(message.topic, bytes(message.payload), message.retain, now, time.time())
        if said != "heard":
            log.info("%s", said)
        if said in ("open", "relock"):
            if moving and moving[0].poll() is None:
                moving[0].terminate()  # an opening that is still going on ends here
            command = shlex.split(args.open if said == "open" else args.relock or "true")
            try:
                moving[:] = [subprocess.Popen(command)]
            except OSError as error:
                log.error("%s", error)

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)  # no session: what was not heard in time opens nothing

    def enter(client: paho.Client, userdata: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            log.error("the broker refused the login: %s", reason)
        else:
            client.subscribe([(lock.decisions, 1), (lock.statuses, 1)])

    client.on_connect = enter
    client.on_connect_fail = lambda c, u: log.error("no broker at %s:%s, or its certificate is not good", args.host, args.port)
    client.on_subscribe = lambda c, u, mid, reasons, properties: log.info("listening to gate %s of site %s", args.gate, args.site)
    client.on_message = hear
    try:
        if args.username:
            secret = Path(args.password_file).read_text("utf-8").split("\n")[0] if args.password_file else None
            client.username_pw_set(args.username, secret)
        if args.ca_file:
            client.tls_set(args.ca_file, args.cert_file, args.key_file)
    except (OSError, ValueError) as error:
        sys.exit(f"lock_controller.py: --password-file, --ca-file, --cert-file or --key-file cannot be used ({error})")
    client.connect_async(args.host, args.port, keepalive=15)
    client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    main()
