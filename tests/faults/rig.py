"""A gate in a process of its own, with everything real but camera and models: store, engine, connections, and people who walk past.

    python -m tests.faults.rig FOLDER PORT [--a-second N] [--site SITE] [--login NAME] [--mode both] [--key NAME=PUBLIC_KEY]

The brightness of a face says who it is. One passage after another is made of ALICE, who may be enrolled, and of a stranger. With --login
the password is the one of tests.fixtures.deployed; with --key commands must be signed.
"""

import argparse
import faulthandler
import logging
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from daemon.commands.authority import Key
from daemon.commands.desk import Desk
from daemon.config import CommandsConfig, Config, DecisionConfig, GateConfig, KeyConfig, MetricsConfig, MqttConfig
from daemon.config.sections import Grants, Ops
from daemon.core import signing
from daemon.core.boxes import Box
from daemon.core.messages import encode, offline_status, topic
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.values import Face, Probe, Quality, View
from daemon.edges.metrics import Metrics
from daemon.edges.mqtt import Lanes
from daemon.edges.store import open_store
from daemon.pipeline import opening
from daemon.serving.engine import Engine
from daemon.serving.gate_state import Gate
from daemon.serving.mailbox import CameraState, Mailbox
from daemon.serving.signature import box_key, signer
from tests.fixtures.desk import MODELS, NoThreshold, current, desk, painted_crops

ALICE, STRANGER = 100, 240
FRAMES = 3
"""Frames of a passage."""


def walk(mailbox: Mailbox, stop: threading.Event, a_second: float) -> None:
    """Offer the views of a camera: somebody for a few frames, then nobody until the passage has ended."""
    number, passage, period_s = 0, 0, 1.0 / (a_second * (FRAMES + 4))
    due_s = time.monotonic()
    while not stop.is_set():
        who = (ALICE, STRANGER)[passage % 2]
        for brightness in (*[who] * FRAMES, None, None, None, None):
            due_s += period_s
            time.sleep(max(0.0, due_s - time.monotonic()))
            probes: tuple[Probe, ...] = ()
            if brightness is not None:
                crop = np.full((112, 112, 3), brightness, np.uint8)
                probes = (Probe(Face(Box(100, 100, 80, 80), 1.0), crop, Quality.OK),)
            number += 1
            if not mailbox.offer(View("north", number, time.monotonic(), time.time(), probes), stop):
                return
        passage += 1


class Claims(NoThreshold):
    """A card that can only judge claims."""

    def claim_threshold(self, target_fmr: float) -> float | None:
        return 0.99


GRANTS: Grants = ("force", "replace", "verify")
OPS: Ops = ("enroll", "revoke", "suspend", "resume", "update", "verify", "list", "get", "ping")


def commands(key: str) -> CommandsConfig:
    """Who may ask something: everybody, or whoever has the key of --key."""
    if not key:
        return CommandsConfig(grants=GRANTS)
    name, _, public = key.partition("=")
    return CommandsConfig(keys={name: KeyConfig(public=public, ops=OPS, grants=GRANTS)})


def keys(config: CommandsConfig) -> dict[str, Key]:
    return {
        name: Key(signing.public_key(key.public), frozenset(key.ops), key.gates, frozenset(key.grants), key.rate)
        for name, key in config.keys.items()
    }


def main() -> None:
    faulthandler.register(signal.SIGUSR1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--a-second", type=float, default=4.0)
    parser.add_argument("--session-s", type=int, default=86_400)
    parser.add_argument("--site", default="hq")
    parser.add_argument("--login", default="")
    parser.add_argument("--mode", choices=("identify", "verify", "both"), default="identify")
    parser.add_argument("--key", default="")
    asked = parser.parse_args()
    frames_s = 1.0 / (asked.a_second * (FRAMES + 4))
    config = Config(
        site=asked.site,
        gates={"north": GateConfig(source="x", mode=asked.mode)},
        decision=DecisionConfig(threshold=0.99, min_frames=FRAMES, patience=FRAMES, min_s=0.0, lost_s=2.5 * frames_s),
        commands=commands(asked.key),
        mqtt=MqttConfig(port=asked.port, username=asked.login, keepalive_s=5, session_expiry_s=asked.session_s),
        metrics=MetricsConfig(port=0),
    )
    store = open_store(asked.folder)
    models = {ident: replace(model, calibration=Claims()) for ident, model in MODELS.items()}
    memory = current(store, models, opening.policy(config))
    box = box_key(store)
    mailbox, tag, sign = Mailbox(1), store.client_tag(), signer(box)
    lanes = Lanes(
        config.mqtt, site=asked.site, gate="north", client_id=f"rig-{tag}", password=f"secret of {asked.login}" if asked.login else None,
        offline=sign(topic(asked.site, "north", "status"), encode(offline_status("1"))), deliver=mailbox.deliver,
    )  # fmt: skip
    gate = Gate(Gatekeeper("north", memory.serving.rules(asked.mode), config.decision.lost_s), lanes, mode=asked.mode)
    the_desk = desk(store, frozenset(config.commands.grants), memory, keys(config.commands), kind=Desk)
    engine = Engine(
        config, store, memory, the_desk, {"north": gate}, mailbox, Metrics(), models, painted_crops, "1", sign=sign,
        public_key=signing.public_text(box),
    )  # fmt: skip
    stop = threading.Event()

    def on_signal(*_: object) -> None:
        stop.set()
        mailbox.wake.set()

    signal.signal(signal.SIGTERM, on_signal)
    mailbox.tell(CameraState("north", "up", None, True))
    lanes.start()
    walker = threading.Thread(target=walk, args=(mailbox, stop, asked.a_second), daemon=True)
    walker.start()
    while not stop.is_set():
        engine.turn(0.25)
    walker.join(2)
    engine.finish()
    lanes.stop(None, 1.0)
    engine.settle()
    engine.close()
    store.close()


if __name__ == "__main__":
    main()
