"""A gate in a process of its own, with everything real but camera and models: store, engine, connections, and people who walk past.

    python -m tests.faults.rig FOLDER PORT [--passages-a-second N] [--host-port PORT]

The brightness of a face says who it is. One passage after another is made of ALICE, who may be enrolled, and of a stranger.
"""

import argparse
import faulthandler
import logging
import signal
import threading
import time
from pathlib import Path

import numpy as np

from daemon.commands.desk import Desk
from daemon.config import CommandsConfig, Config, DecisionConfig, GateConfig, MetricsConfig, MqttConfig
from daemon.core.boxes import Box
from daemon.core.messages import encode, offline_status
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.values import Face, Probe, Quality, View
from daemon.edges.metrics import Metrics
from daemon.edges.mqtt import Lanes
from daemon.edges.store import open_store
from daemon.pipeline import opening
from daemon.serving.engine import Engine
from daemon.serving.gate_state import Gate
from daemon.serving.mailbox import CameraState, Mailbox
from tests.fixtures.desk import MODELS, current, desk, painted_crops

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


def main() -> None:
    faulthandler.register(signal.SIGUSR1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--a-second", type=float, default=4.0)
    parser.add_argument("--session-s", type=int, default=86_400)
    asked = parser.parse_args()
    frames_s = 1.0 / (asked.a_second * (FRAMES + 4))
    config = Config(
        site="hq",
        gates={"north": GateConfig(source="x")},
        decision=DecisionConfig(threshold=0.99, min_frames=FRAMES, patience=FRAMES, min_s=0.0, lost_s=2.5 * frames_s),
        commands=CommandsConfig(grants=("force", "replace", "verify")),
        mqtt=MqttConfig(port=asked.port, keepalive_s=5, session_expiry_s=asked.session_s),
        metrics=MetricsConfig(port=0),
    )
    store = open_store(asked.folder)
    memory = current(store, MODELS, opening.policy(config))
    mailbox, tag = Mailbox(1), store.client_tag()
    lanes = Lanes(
        config.mqtt, site="hq", gate="north", client_id=f"rig-{tag}", password=None, offline=encode(offline_status("1")),
        deliver=mailbox.deliver,
    )  # fmt: skip
    gate = Gate(Gatekeeper("north", memory.serving.rules(), config.decision.lost_s), lanes)
    the_desk = desk(store, frozenset(config.commands.grants), memory, kind=Desk)
    engine = Engine(config, store, memory, the_desk, {"north": gate}, mailbox, Metrics(), MODELS, painted_crops, "1")
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
